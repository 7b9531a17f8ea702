//! `tributary functions`: the functions that SQL has beside DataFusion's own.

use std::fmt::Write as _;
use std::io::Write as _;

use tributary_udfs::FunctionDoc;

use super::exit::Outcome;

/// Lists the functions for attribution, money, days and ratings that any SQL may use.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tributary functions
  tributary functions --markdown > docs/functions.md")]
pub struct FunctionsArgs {
    /// The whole manual as Markdown: docs/functions.md
    #[arg(long)]
    markdown: bool,
}

pub fn run(args: &FunctionsArgs) -> Outcome {
    let functions = tributary_udfs::documentation();
    let text = if args.markdown { manual(&functions) } else { list(&functions) };
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(())
}

fn list(functions: &[FunctionDoc]) -> String {
    functions.iter().fold(String::new(), |mut text, function| {
        let _ = writeln!(text, "{}\n    {}", function.syntax, first_sentence(&function.description));
        text
    })
}

/// The manual, one section a family and one heading a function. Writing into a string cannot fail.
fn manual(functions: &[FunctionDoc]) -> String {
    let mut text = String::from(
        "# Functions\n\nWritten by `tributary functions --markdown`. SQL has these beside the functions of DataFusion.\n",
    );
    let mut family = "";
    for function in functions {
        if function.family != family {
            family = &function.family;
            let _ = write!(text, "\n## {family}\n");
        }
        let _ = write!(text, "\n### `{}`\n\n{}\n", function.name, function.description.trim());
        let _ = write!(text, "\n```sql\n{}\n```\n\n", function.syntax.trim());
        for (argument, meaning) in &function.arguments {
            let _ = writeln!(text, "- `{argument}`: {}", meaning.trim());
        }
        let example = function.example.trim();
        let fence = if example.starts_with("```") { ("", "") } else { ("```sql\n", "\n```") };
        let _ = write!(text, "\n{}{example}{}\n", fence.0, fence.1);
    }
    text
}

fn first_sentence(description: &str) -> &str {
    let line = description.trim().lines().next().unwrap_or_default();
    line.split_once(". ").map_or(line, |(first, _)| first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn functions() -> Vec<FunctionDoc> {
        vec![FunctionDoc {
            name: "safe_ratio".into(),
            family: "Money".into(),
            syntax: "safe_ratio(a, b)".into(),
            description: "Divides. Null on zero.".into(),
            arguments: vec![("a".into(), "The dividend.".into())],
            example: "select safe_ratio(1, 0)".into(),
        }]
    }

    #[test]
    fn the_list_shows_syntax_and_first_sentence() {
        assert_eq!(list(&functions()), "safe_ratio(a, b)\n    Divides\n");
    }

    #[test]
    fn the_manual_has_section_arguments_and_example() {
        let text = manual(&functions());
        let wanted = [
            "## Money\n",
            "### `safe_ratio`\n",
            "- `a`: The dividend.",
            "```sql\nselect safe_ratio(1, 0)\n```",
        ];
        for part in wanted {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
    }
}
