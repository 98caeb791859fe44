//! The `ssl` program.
fn main() {}
