//! The commands of the guides, run as a reader would run them: `sh` blocks set up, `console` blocks show output.

use std::path::Path;
use std::process::{Command, Stdio};

/// Guides whose every command is run, by file.
const GUIDES: [(&str, &str); 2] = [
    ("docs/attribution.md", include_str!("../../docs/attribution.md")),
    ("docs/erasure.md", include_str!("../../docs/erasure.md")),
];

/// A fenced block: what stands after the fence, the lines in it, and the number of the first of them.
struct Block<'a> {
    language: &'a str,
    lines: Vec<&'a str>,
    line_number: usize,
}

fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let within = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```").collect();
            blocks.push(Block { language, lines: within, line_number: index + 2 });
        }
    }
    blocks
}

/// A command after its `$`, with the here-document that it reads, and the lines that it should print.
#[derive(Debug, PartialEq)]
struct Shown {
    command: String,
    output: String,
}

fn commands(lines: &[&str]) -> Vec<Shown> {
    let mut shown: Vec<Shown> = Vec::new();
    let mut is_within_document = false;
    for line in lines {
        if let Some(command) = line.strip_prefix("$ ").filter(|_| !is_within_document) {
            is_within_document = command.ends_with("<<'SQL'");
            shown.push(Shown { command: format!("{command}\n"), output: String::new() });
            continue;
        }
        let last = shown.last_mut().expect("a console block begins with a command");
        let text = if is_within_document { &mut last.command } else { &mut last.output };
        text.push_str(line);
        text.push('\n');
        is_within_document &= *line != "SQL";
    }
    shown
}

/// What a shell prints that finds the built binary as `tributary`; blanks at the ends of lines do not count.
#[expect(clippy::disallowed_methods, reason = "the guide's commands need those of the system beside ours")]
fn run(folder: &Path, command: &str) -> String {
    let binary = Path::new(env!("CARGO_BIN_EXE_tributary"));
    let mut path = binary.parent().unwrap().as_os_str().to_owned();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap());
    let mut shell = Command::new("sh");
    shell.args(["-e", "-c", command]).env_clear().env("PATH", path);
    let output = shell.current_dir(folder).stdin(Stdio::null()).output().unwrap();
    let (text, problems) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && !problems.contains("error: "), "{command}: {problems}");
    text.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// What the commands of a guide print that the guide does not show.
fn differences(file: &str, guide: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let mut differences = String::new();
    for block in blocks(guide) {
        match block.language {
            "sh" => {
                run(folder.path(), &block.lines.join("\n"));
            }
            "console" => {
                for shown in commands(&block.lines) {
                    let printed = run(folder.path(), &shown.command);
                    if printed != shown.output {
                        differences.extend([file, ": $ ", &shown.command, &printed]);
                    }
                }
            }
            language => panic!("{file}:{}: no test runs a block of {language:?}", block.line_number),
        }
    }
    differences
}

#[test]
fn every_command_of_a_guide_prints_what_the_guide_shows() {
    let differences: String = GUIDES.iter().map(|(file, guide)| differences(file, guide)).collect();
    assert!(differences.is_empty(), "these print something else than is shown:\n{differences}");
}

#[test]
fn a_here_document_belongs_to_its_command() {
    let text = "words\n```console\n$ a <<'SQL'\n$ 1\nSQL\nx\n\n$ b\n```\n";
    let found = blocks(text);
    assert_eq!((found.len(), found[0].language, found[0].line_number), (1, "console", 3));
    let shown =
        |command: &str, output: &str| Shown { command: command.to_owned(), output: output.to_owned() };
    assert_eq!(commands(&found[0].lines), [shown("a <<'SQL'\n$ 1\nSQL\n", "x\n\n"), shown("b\n", "")]);
}
