//! Shows the place of an error in the text that it is about.

use crate::error::Error;

/// Letters of a line that are shown; a longer one is shown around the place.
const LINE_LETTERS: usize = 100;

/// The line of the error's place, with a mark below the word there; none where there is no such place.
pub fn excerpt(error: &Error, text: &str) -> Option<String> {
    let place = error.place()?;
    let line = text.lines().nth(usize::try_from(place.line).ok()?.checked_sub(1)?)?;
    let letters: Vec<char> =
        line.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    let at = usize::try_from(place.column).ok()?.checked_sub(1)?.min(letters.len());
    let first = if letters.len() > LINE_LETTERS { at.saturating_sub(LINE_LETTERS / 2) } else { 0 };
    let last = letters.len().min(first + LINE_LETTERS);
    let is_part = |letter: &char| letter.is_alphanumeric() || matches!(letter, '_' | '.');
    let begin = if letters.get(at) == Some(&'$') { at + 1 } else { at };
    let word = letters.get(begin..).unwrap_or_default().iter().take_while(|letter| is_part(letter)).count();
    let marks = "^".repeat((begin - at + word).clamp(1, last.saturating_sub(at).max(1)));
    let number = format!("line {}: ", place.line);
    let shown: String = letters[first..last].iter().collect();
    let indent = " ".repeat(number.len() + at - first);
    Some(format!("{number}{}\n{indent}{marks}\n", shown.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Place;

    fn shown(text: &str, line: u64, column: u64) -> Option<String> {
        excerpt(&Error::invalid("x").with_place(Some(Place { line, column })), text)
    }

    #[test]
    fn the_word_at_the_place_is_marked() {
        assert_eq!(
            shown("select\n\trevenu, x\nfrom orders", 2, 2).unwrap(),
            "line 2:  revenu, x\n         ^^^^^^\n"
        );
        assert_eq!(shown("select $ab", 1, 8).unwrap(), "line 1: select $ab\n               ^^^\n");
        assert_eq!(shown("select 'ä", 1, 8).unwrap(), "line 1: select 'ä\n               ^\n");
    }

    #[test]
    fn the_end_of_the_text_is_a_place_and_what_is_beyond_is_none() {
        assert_eq!(shown("select", 1, 7).unwrap(), "line 1: select\n              ^\n");
        assert_eq!(shown("select", 2, 1), None);
        assert_eq!(shown("select", 0, 0), None);
        assert_eq!(excerpt(&Error::invalid("x"), "select"), None);
    }

    #[test]
    fn a_long_line_is_shown_around_the_place() {
        let text = format!("select {} wrong {}", "a, ".repeat(100), "b, ".repeat(100));
        let column = 2 + text.find("wrong").unwrap() as u64 - 1;
        let lines = shown(&text, 1, column).unwrap();
        let (line, marks) = lines.split_once('\n').unwrap();
        assert!(line.len() <= 8 + LINE_LETTERS, "{line}");
        assert_eq!(line.find("wrong"), marks.find('^'));
        assert_eq!(marks.trim(), "^^^^^");
    }
}
