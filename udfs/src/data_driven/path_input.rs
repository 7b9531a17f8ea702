//! Journeys of a relation, collected into the distinct paths that the models take.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{Decimal128Type, Int64Type};
use datafusion::common::{HashMap, Result, exec_err};

use super::error::ModelError;
use super::paths::Paths;

/// Bytes that a path takes beside its channels, about.
const PATH_BYTES: usize = 96;
const TEN_THOUSANDTHS: f64 = 1e4;

/// What came of the journeys of one path.
#[derive(Debug, Clone, Copy, Default)]
pub struct PathCount {
    pub conversions: u64,
    /// Ten-thousandths.
    pub value: i128,
    pub non_conversions: u64,
}

/// Paths under construction.
#[derive(Debug, Default)]
pub struct PathInput {
    codes: HashMap<String, u32>,
    names: Vec<String>,
    paths: HashMap<Box<[u32]>, PathCount>,
    size: usize,
    path: Vec<u32>,
}

impl PathInput {
    /// Adds rows of (channels, conversions, value, non-conversions). A row without channels is a journey without touch.
    pub fn add(&mut self, columns: &[ArrayRef]) -> Result<()> {
        let [channels, conversions, values, non_conversions] = columns else {
            return exec_err!("a model of paths takes four columns, not {}", columns.len());
        };
        let channels = channels.as_list::<i32>();
        let names = channels.values().as_string::<i32>();
        let conversions = conversions.as_primitive::<Int64Type>();
        let values = values.as_primitive::<Decimal128Type>();
        let non_conversions = non_conversions.as_primitive::<Int64Type>();
        let count = |counts: &arrow::array::Int64Array, row: usize| -> Result<u64> {
            match counts.is_valid(row).then(|| u64::try_from(counts.value(row))) {
                None => Ok(0),
                Some(Ok(count)) => Ok(count),
                Some(Err(_)) => exec_err!("a model of paths: a count of journeys is negative"),
            }
        };
        for row in 0..channels.len() {
            let found = PathCount {
                conversions: count(conversions, row)?,
                value: if values.is_valid(row) { values.value(row) } else { 0 },
                non_conversions: count(non_conversions, row)?,
            };
            self.path.clear();
            if channels.is_valid(row) {
                for at in channels.value_offsets()[row]..channels.value_offsets()[row + 1] {
                    let name =
                        if names.is_valid(at as usize) { names.value(at as usize) } else { "(unknown)" };
                    let code = self.code(name);
                    self.path.push(code);
                }
            }
            self.count(found);
        }
        Ok(())
    }

    fn code(&mut self, name: &str) -> u32 {
        if let Some(&code) = self.codes.get(name) {
            return code;
        }
        let code = self.names.len() as u32;
        self.names.push(name.to_owned());
        self.codes.insert(name.to_owned(), code);
        code
    }

    /// Counts journeys of the path that is being looked at.
    fn count(&mut self, found: PathCount) {
        let known = match self.paths.get_mut(&*self.path) {
            Some(known) => known,
            None => {
                self.size += PATH_BYTES + size_of_val(&*self.path);
                self.paths.entry(self.path.as_slice().into()).or_default()
            }
        };
        known.conversions += found.conversions;
        known.value += found.value;
        known.non_conversions += found.non_conversions;
    }

    /// Bytes of memory held, about.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The rows that `add` would make the same of.
    pub fn rows(&self) -> impl Iterator<Item = (Vec<&str>, PathCount)> {
        let names = |path: &[u32]| path.iter().map(|&code| self.names[code as usize].as_str()).collect();
        self.paths.iter().map(move |(path, count)| (names(path), *count))
    }

    /// The value of all journeys, in ten-thousandths.
    pub fn value(&self) -> i128 {
        self.paths.values().map(|count| count.value).sum()
    }

    /// The channels by name, in the order of bytes, and the paths over their numbers.
    pub fn finish(&self) -> Result<(Vec<&str>, Paths), ModelError> {
        let mut order: Vec<u32> = (0..self.names.len() as u32).collect();
        order.sort_unstable_by_key(|&code| &self.names[code as usize]);
        let mut number = vec![0; order.len()];
        for (at, &code) in (0..).zip(&order) {
            number[code as usize] = at;
        }
        let mut paths = Paths::builder(order.len());
        let mut numbered = Vec::new();
        for (path, count) in &self.paths {
            numbered.clear();
            numbered.extend(path.iter().map(|&code| number[code as usize]));
            let value = count.value as f64 / TEN_THOUSANDTHS;
            paths.push(&numbered, count.conversions, value, count.non_conversions)?;
        }
        let names = order.iter().map(|&code| self.names[code as usize].as_str()).collect();
        Ok((names, paths.finish()))
    }
}
