//! Who an anonymous visitor turned out to be (attribution.md, rule 1: customers are resolved first).

use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, DictionaryArray, StringArray};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, Int32Type};
use arrow::record_batch::RecordBatch;
use datafusion::common::{HashMap, HashSet, Result};

use super::columns::{name_type, without_nulls};

/// The column that is resolved.
pub const CUSTOMER: &str = "customer_id";

/// The customers behind anonymous ids.
#[derive(Debug, Default)]
pub struct Identities {
    customers: HashMap<String, String>,
}

impl Identities {
    /// Reads rows of (anonymous_id, customer_id). A customer may be an anonymous id of another; ids that are linked in a
    /// circle are all the smallest of them.
    pub fn try_new(batches: &[RecordBatch]) -> Result<Self> {
        let mut links: HashMap<String, String> = HashMap::new();
        for batch in batches {
            let [from, to] = [
                without_nulls(batch, "anonymous_id", &DataType::Utf8)?,
                without_nulls(batch, CUSTOMER, &DataType::Utf8)?,
            ];
            let (from, to) = (from.as_string::<i32>(), to.as_string::<i32>());
            links.extend((0..from.len()).map(|row| (from.value(row).to_owned(), to.value(row).to_owned())));
        }
        let of = |id: &String| end_of(&links, id).to_owned();
        let mut customers: HashMap<String, String> = links.keys().map(|id| (id.clone(), of(id))).collect();
        customers.retain(|id, customer| id != customer);
        Ok(Self { customers })
    }

    /// Whether nobody is linked to another.
    pub fn is_empty(&self) -> bool {
        self.customers.is_empty()
    }

    /// The customer behind an id; none where it is nobody else.
    pub fn customer(&self, id: &str) -> Option<&str> {
        self.customers.get(id).map(String::as_str)
    }

    /// The anonymous ids of some customers.
    pub fn linked_to(&self, customers: &HashSet<String>) -> Vec<String> {
        let linked = self.customers.iter().filter(|(_, customer)| customers.contains(*customer));
        linked.map(|(id, _)| id.clone()).collect()
    }

    /// Puts customers in the place of their anonymous ids.
    pub fn resolved(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        Self::with_customers(batch, |ids| {
            let names = ids.values().as_string::<i32>();
            let resolved = names.iter().map(|id| id.map(|id| self.customer(id).unwrap_or(id)));
            ids.with_values(Arc::new(resolved.collect::<StringArray>()))
        })
    }

    /// The rows whose ids are customers already.
    pub fn unlinked(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        Self::filtered(batch, |id| id.is_none_or(|id| self.customer(id).is_none()))
    }

    /// The rows of anonymous ids, with their customers in the place of them: those of a range, from the first customer up
    /// to before the second.
    pub fn linked(&self, batch: &RecordBatch, from: Option<&str>, to: Option<&str>) -> Result<RecordBatch> {
        let is_in =
            |customer: &str| from.is_none_or(|from| customer >= from) && to.is_none_or(|to| customer < to);
        let is_linked = |id: Option<&str>| id.and_then(|id| self.customer(id)).is_some_and(is_in);
        self.resolved(&Self::filtered(batch, is_linked)?)
    }

    /// The rows whose ids pass; each id is looked at once a batch.
    fn filtered(batch: &RecordBatch, passes: impl Fn(Option<&str>) -> bool) -> Result<RecordBatch> {
        let ids = ids_of(batch)?;
        let of_values: Vec<bool> = ids.values().as_string::<i32>().iter().map(&passes).collect();
        let of_null = passes(None);
        let mask: BooleanArray =
            ids.keys().iter().map(|key| Some(key.map_or(of_null, |key| of_values[key as usize]))).collect();
        if mask.true_count() == batch.num_rows() {
            return Ok(batch.clone());
        }
        Ok(filter_record_batch(batch, &mask)?)
    }

    fn with_customers(
        batch: &RecordBatch,
        of: impl Fn(&DictionaryArray<Int32Type>) -> DictionaryArray<Int32Type>,
    ) -> Result<RecordBatch> {
        let at = batch.schema_ref().index_of(CUSTOMER)?;
        let mut columns = batch.columns().to_vec();
        columns[at] = cast(&of(&ids_of(batch)?), batch.schema_ref().field(at).data_type())?;
        Ok(RecordBatch::try_new(batch.schema(), columns)?)
    }
}

fn ids_of(batch: &RecordBatch) -> Result<DictionaryArray<Int32Type>> {
    let at = batch.schema_ref().index_of(CUSTOMER)?;
    Ok(cast(batch.column(at), &name_type())?.as_dictionary().clone())
}

/// Follows the links from an id to their end.
fn end_of<'a>(links: &'a HashMap<String, String>, id: &'a String) -> &'a str {
    let mut seen = HashSet::new();
    let mut at = id;
    while let Some(next) = links.get(at) {
        if !seen.insert(at) {
            return smallest_of_circle(links, at);
        }
        at = next;
    }
    at
}

fn smallest_of_circle<'a>(links: &'a HashMap<String, String>, start: &'a String) -> &'a str {
    let (mut smallest, mut at) = (start, start);
    while let Some(next) = links.get(at) {
        if next == start {
            break;
        }
        smallest = smallest.min(next);
        at = next;
    }
    smallest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identities(links: &[(&str, &str)]) -> Identities {
        let anonymous: StringArray = links.iter().map(|link| Some(link.0)).collect();
        let customers: StringArray = links.iter().map(|link| Some(link.1)).collect();
        let columns: [(&str, Arc<dyn Array>); 2] =
            [("anonymous_id", Arc::new(anonymous)), (CUSTOMER, Arc::new(customers))];
        Identities::try_new(&[RecordBatch::try_from_iter(columns).unwrap()]).unwrap()
    }

    #[test]
    fn links_are_followed_to_their_end() {
        let identities = identities(&[("a", "b"), ("b", "c"), ("x", "c")]);
        assert_eq!(identities.customer("a"), Some("c"));
        assert_eq!(identities.customer("x"), Some("c"));
        assert_eq!(identities.customer("c"), None);
    }

    #[test]
    fn a_circle_is_the_smallest_of_its_ids() {
        let identities = identities(&[("z", "m"), ("m", "n"), ("n", "m"), ("self", "self")]);
        assert_eq!(identities.customer("z"), Some("m"));
        assert_eq!(identities.customer("n"), Some("m"));
        assert_eq!(identities.customer("m"), None);
        assert_eq!(identities.customer("self"), None);
    }
}
