//! The commands of the guides, run as a reader would run them: `sh` blocks set up, `console` blocks show output, and
//! `terminal` blocks are typed into the SQL shell.

use std::path::Path;
use std::process::{Command, Stdio};

const ATTRIBUTION: &str = include_str!("../../docs/attribution.md");
const ERASURE: &str = include_str!("../../docs/erasure.md");
#[cfg(unix)]
const SHELL: &str = include_str!("../../docs/shell.md");

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

#[test]
fn every_command_of_the_attribution_guide_prints_what_the_guide_shows() {
    check("docs/attribution.md", ATTRIBUTION);
}

#[test]
fn every_command_of_the_erasure_guide_prints_what_the_guide_shows() {
    check("docs/erasure.md", ERASURE);
}

#[cfg(unix)]
#[test]
fn every_command_of_the_shell_guide_prints_what_the_guide_shows() {
    check("docs/shell.md", SHELL);
}

/// Types the lines behind a prompt into a shell without line editing; what the whole block is then.
#[cfg(unix)]
fn typed(folder: &Path, lines: &[&str]) -> String {
    use rexpect::session::spawn_command;
    const PROMPT: &str = "small> ";
    let (command, lines) = lines.split_first().expect("a terminal block begins with a command");
    let arguments = command.strip_prefix("$ tributary ").expect("the command that starts the shell");
    let mut shell = Command::new(env!("CARGO_BIN_EXE_tributary"));
    shell.args(arguments.split(' ')).current_dir(folder).env_clear();
    shell.envs([("TERM", "dumb"), ("PAGER", ""), ("HOME", folder.to_str().unwrap())]);
    let mut session = spawn_command(shell, Some(60_000)).unwrap();
    // It comes byte by byte, and is read as if each were a letter.
    let text = |raw: String| {
        let bytes: Vec<u8> = raw.chars().map(|letter| letter as u8).collect();
        String::from_utf8(bytes).unwrap().replace("\r\n", "\n")
    };
    let mut block = format!("{command}\n{}", text(session.exp_string(PROMPT).unwrap()));
    for line in lines.iter().filter_map(|line| line.strip_prefix(PROMPT)) {
        session.send_line(line).unwrap();
        block.extend([PROMPT, line, "\n"]);
        if line == "\\q" {
            block.push_str(&text(session.exp_eof().unwrap()));
            break;
        }
        block.push_str(&text(session.exp_string(PROMPT).unwrap()));
    }
    block.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

fn check(guide: &str, text: &str) {
    let folder = tempfile::tempdir().unwrap();
    let mut differences = String::new();
    for block in blocks(text) {
        match block.language {
            "sh" => {
                run(folder.path(), &block.lines.join("\n"));
            }
            "console" => {
                for shown in commands(&block.lines) {
                    let printed = run(folder.path(), &shown.command);
                    if printed != shown.output {
                        differences.extend(["$ ", &shown.command, &printed]);
                    }
                }
            }
            #[cfg(unix)]
            "terminal" => {
                let shown: String = block.lines.iter().map(|line| format!("{line}\n")).collect();
                let printed = typed(folder.path(), &block.lines);
                if printed != shown {
                    differences.push_str(&printed);
                }
            }
            // A sketch: where it leads is elsewhere.
            "text" => {}
            language => panic!("line {}: no test runs a block of {language:?}", block.line_number),
        }
    }
    assert!(differences.is_empty(), "these print something else than {guide} shows:\n{differences}");
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
