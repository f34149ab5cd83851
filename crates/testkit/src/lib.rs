//! Real servers, fake programs and faults for the tests.
