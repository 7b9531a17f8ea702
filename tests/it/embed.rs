//! The example runs as it is printed.

#[path = "../../examples/embed.rs"]
mod example;

#[test]
fn the_embedding_example_runs_to_its_end() {
    example::main().unwrap();
}
