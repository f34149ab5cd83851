mod checks;
mod options;
fn main() {}
