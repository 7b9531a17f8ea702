//! `tributary functions`: the functions that SQL has beside DataFusion's own.

use std::fmt::Write as _;
use std::io::Write as _;

use datafusion::logical_expr::Documentation;

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

fn list(functions: &[(String, Documentation)]) -> String {
    functions.iter().fold(String::new(), |mut text, (_, function)| {
        let _ = writeln!(text, "{}\n    {}", function.syntax_example, first_sentence(&function.description));
        text
    })
}

/// The manual, one section a family and one heading a function. Writing into a string cannot fail.
fn manual(functions: &[(String, Documentation)]) -> String {
    let mut text = String::from(
        "# Functions\n\nWritten by `tributary functions --markdown`. SQL has these beside the functions of DataFusion.\n",
    );
    let mut section = "";
    for (name, function) in functions {
        if function.doc_section.label != section {
            section = function.doc_section.label;
            let _ = write!(text, "\n## {section}\n");
        }
        let _ = write!(text, "\n### `{name}`\n\n{}\n", function.description.trim());
        let _ = write!(text, "\n```sql\n{}\n```\n", function.syntax_example.trim());
        if let Some(arguments) = function.arguments.as_ref().filter(|arguments| !arguments.is_empty()) {
            text.push('\n');
            for (argument, meaning) in arguments {
                let _ = writeln!(text, "- `{argument}`: {}", meaning.trim());
            }
        }
        if let Some(example) = &function.sql_example {
            let example = example.trim();
            let fence = if example.starts_with("```") { ("", "") } else { ("```sql\n", "\n```") };
            let _ = write!(text, "\n{}{example}{}\n", fence.0, fence.1);
        }
    }
    text
}

fn first_sentence(description: &str) -> &str {
    let line = description.trim().lines().next().unwrap_or_default();
    line.split_once(". ").map_or(line, |(first, _)| first)
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::DocSection;

    use super::*;

    fn functions() -> Vec<(String, Documentation)> {
        let section = DocSection { include: true, label: "Money", description: None };
        let documentation = Documentation::builder(section, "Divides. Null on zero.", "safe_ratio(a, b)")
            .with_argument("a", "The dividend.")
            .with_sql_example("select safe_ratio(1, 0)")
            .build();
        vec![("safe_ratio".into(), documentation)]
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
