#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gpdump_tests::readers::run("lists", bytes));
