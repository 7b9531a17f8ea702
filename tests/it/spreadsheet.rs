//! Reads the one sheet of a spreadsheet, as far as the tests need it, with none of the writer's code.

use std::collections::BTreeMap;
use std::io::Read as _;

/// What a cell holds; nothing where there is no cell.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    Empty,
    Number(f64),
    Text(String),
    Boolean(bool),
}

/// Cells by their names, such as `B2`.
pub fn cells(file: &[u8]) -> BTreeMap<String, Cell> {
    let sheet = part(file, "xl/worksheets/sheet1.xml");
    sheet.split("<c ").skip(1).map(cell).collect()
}

/// One file of the archive, found by the directory at its end.
pub fn part(file: &[u8], name: &str) -> String {
    let number = |at: usize, bytes: usize| {
        file[at..at + bytes].iter().rev().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte))
    };
    let end = file.windows(4).rposition(|bytes| bytes == b"PK\x05\x06").expect("an archive");
    let mut at = number(end + 16, 4);
    for _ in 0..number(end + 10, 2) {
        let (name_length, extra, comment) = (number(at + 28, 2), number(at + 30, 2), number(at + 32, 2));
        if &file[at + 46..at + 46 + name_length] == name.as_bytes() {
            let (method, packed, local) = (number(at + 10, 2), number(at + 20, 4), number(at + 42, 4));
            let start = local + 30 + number(local + 26, 2) + number(local + 28, 2);
            let data = &file[start..start + packed];
            let mut text = String::new();
            match method {
                0 => text.push_str(std::str::from_utf8(data).expect("text")),
                _ => drop(flate2::read::DeflateDecoder::new(data).read_to_string(&mut text).expect("text")),
            }
            return text;
        }
        at += 46 + name_length + extra + comment;
    }
    panic!("no {name} in the archive");
}

/// A cell's name and value, from its element on.
fn cell(element: &str) -> (String, Cell) {
    let head = &element[..element.find('>').expect("a tag")];
    let attribute = |name: &str| {
        let start = head.find(&format!("{name}=\""))? + name.len() + 2;
        Some(&head[start..start + head[start..].find('"')?])
    };
    let inside = |tag: &str| {
        let from = element.find(&format!("<{tag}"))?;
        let start = from + element[from..].find('>')? + 1;
        Some(unescaped(&element[start..start + element[start..].find(&format!("</{tag}>"))?]))
    };
    let name = attribute("r").expect("a name").to_owned();
    if head.ends_with('/') {
        return (name, Cell::Empty);
    }
    let value = match attribute("t") {
        Some("inlineStr") => Cell::Text(inside("t").expect("a text")),
        Some("b") => Cell::Boolean(inside("v").as_deref() == Some("1")),
        Some(other) => panic!("a cell of type {other}"),
        None => Cell::Number(inside("v").expect("a number").parse().expect("a number")),
    };
    (name, value)
}

fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&")
}
