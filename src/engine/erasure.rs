//! Erasure: everything that names a person leaves the lake, and a search of every file shows that it has.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono_tz::Tz;
use datafusion::common::HashSet;
use futures::TryStreamExt;
use tributary_udfs::Identities;

use super::attempts::{MOST_ATTEMPTS, unless_overtaken};
use super::journeys::{JOURNEYS, texts};
use super::open::Engine;
use crate::error::{Error, Result};
use crate::lake::{Erased, LakeTable, Named, Purged};
use crate::schema::{TableSpec, check_store};
use crate::session::Pins;

/// The table that links a person's ids is the last to forget them, and that of their orders the last but one: an erasure that
/// was cut short finds again what it reaches by them.
const LAST: &str = "identities";
const LAST_BUT_ONE: &str = "orders";

/// One customer of a store, under every id that `identities` links to them.
#[derive(Debug, Clone)]
pub struct Person {
    store: String,
    ids: Arc<HashSet<String>>,
    orders: Arc<HashSet<String>>,
    /// Refused rows that name them.
    refused: Arc<HashSet<String>>,
}

/// What was taken out, by table.
pub type Erasure = BTreeMap<String, Erased>;

impl Person {
    pub fn id_count(&self) -> usize {
        self.ids.len()
    }

    /// What makes a row of a table one of theirs; nothing where the table knows no person.
    fn named(&self, spec: &TableSpec) -> Named {
        let columns = spec.columns.iter().filter(|column| column.person);
        let mut named: Named = columns.map(|column| (column.name.clone(), self.ids.clone())).collect();
        named.extend(reached_by(spec).map(|reached| match reached {
            Reached::ByOrder => ("order_id".to_owned(), self.orders.clone()),
            Reached::ByRefusedRow => ("quarantine_id".to_owned(), self.refused.clone()),
        }));
        named.retain(|(_, values)| !values.is_empty());
        named
    }

    fn join(&mut self, other: &Self) {
        for (known, more) in [
            (&mut self.ids, &other.ids),
            (&mut self.orders, &other.orders),
            (&mut self.refused, &other.refused),
        ] {
            Arc::make_mut(known).extend(more.iter().cloned());
        }
    }
}

impl Engine {
    /// Finds a customer's ids, orders and refused rows.
    pub async fn person(&self, store: &str, customer: &str) -> Result<Person> {
        unless_overtaken(|| self.find_person(store, customer)).await
    }

    async fn find_person(&self, store: &str, customer: &str) -> Result<Person> {
        check_store(store)?;
        if customer.trim().is_empty() {
            return Err(Error::invalid(
                "the customer's id is empty: an erasure needs the id of one customer",
            ));
        }
        let lake = &self.inner.lake;
        let pins = Pins::newest(lake, [LAST, LAST_BUT_ONE, "quarantine"]).await?;
        let session = self.inner.sessions.session(store, Tz::UTC, &pins)?;
        let links = session.sql("select anonymous_id, customer_id from identities").await?.collect().await?;
        let identities = Identities::try_new(&links)?;
        let resolved = identities.customer(customer).unwrap_or(customer).to_owned();
        let mut ids = HashSet::from([resolved, customer.to_owned()]);
        ids.extend(identities.linked_to(&ids));
        let mut orders = HashSet::new();
        if let Some(snapshot) = pins.snapshot(LAST_BUT_ONE) {
            let table = lake.table(LAST_BUT_ONE)?;
            for batch in table.lookup(store, snapshot, "customer_id", ids.clone(), &["order_id"]).await? {
                orders.extend(texts(&batch, "order_id")?);
            }
        }
        let mut refused = HashSet::new();
        let mut rows =
            session.sql("select quarantine_id, raw from quarantine").await?.execute_stream().await?;
        while let Some(batch) = rows.try_next().await? {
            let as_landed = texts(&batch, "raw")?;
            let naming = texts(&batch, "quarantine_id")?.into_iter().zip(as_landed);
            refused.extend(naming.filter(|(_, raw)| ids.iter().any(|id| names(raw, id))).map(|(id, _)| id));
        }
        let (ids, orders, refused) = (Arc::new(ids), Arc::new(orders), Arc::new(refused));
        Ok(Person { store: store.to_owned(), ids, orders, refused })
    }

    /// Returns true if people of a store were erased before.
    pub async fn has_erased(&self, store: &str) -> Result<bool> {
        check_store(store)?;
        for table in self.inner.lake.tables() {
            if table.erasures(store).await? > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// How many rows of each table are theirs, in every file that the newest version has.
    pub async fn rows_of(&self, person: &Person) -> Result<BTreeMap<String, u64>> {
        unless_overtaken(|| self.count_rows_of(person)).await
    }

    async fn count_rows_of(&self, person: &Person) -> Result<BTreeMap<String, u64>> {
        let mut rows = BTreeMap::new();
        for table in self.inner.lake.tables() {
            let named = person.named(&table.spec);
            if !named.is_empty() {
                rows.insert(table.spec.name.clone(), table.count_named(&person.store, &named).await?);
            }
        }
        Ok(rows)
    }

    /// Takes a person's rows out of every table. Their files are still there until [`Engine::purge_erased`].
    pub async fn erase(&self, person: &Person) -> Result<Erasure> {
        let mut person = person.clone();
        let mut erasure = Erasure::new();
        let mut attempts = 1;
        loop {
            match self.try_erase(&person, &mut erasure).await {
                Err(error) if error.is_overtaken() && attempts < MOST_ATTEMPTS => attempts += 1,
                Err(error) => return Err(error),
                Ok(()) => return Ok(erasure),
            }
            // What was landed meanwhile may have brought further ids and orders.
            let ids: Vec<String> = person.ids.iter().cloned().collect();
            for id in ids {
                person.join(&self.person(&person.store, &id).await?);
            }
        }
    }

    /// Deletes the files that held erased rows, with all others of the store that no version has any more, and searches
    /// every file that is left.
    pub async fn purge_erased(&self, person: &Person) -> Result<Purged> {
        let mut purged = Purged::default();
        for table in self.inner.lake.tables().filter(|table| knows_people(&table.spec)) {
            purged.add(table.purge(&person.store, &person.named(&table.spec)).await?);
        }
        Ok(purged)
    }

    async fn try_erase(&self, person: &Person, erasure: &mut Erasure) -> Result<()> {
        let inner = &self.inner;
        let context = inner.sessions.task_context();
        let store = &person.store;
        let _only = inner.journeys.hold(store).await;
        if inner.journeys.is_kept(store).await? {
            // What they have not seen cannot be compacted.
            inner.journeys.refresh_held(store).await?;
        }
        let mut tables: Vec<_> = inner.lake.tables().filter(|table| knows_people(&table.spec)).collect();
        tables.retain(|table| table.spec.name != JOURNEYS);
        tables.sort_by_key(|table| match table.spec.name.as_str() {
            LAST => 2,
            LAST_BUT_ONE => 1,
            _ => 0,
        });
        for table in &tables {
            if table.spec.name == LAST {
                // Rows may have been landed for their orders until these were gone.
                let of_orders = |spec: &TableSpec| matches!(reached_by(spec), Some(Reached::ByOrder));
                for table in tables.iter().filter(|table| of_orders(&table.spec)) {
                    self.erase_from(table, person, erasure).await?;
                }
                self.check_known(person).await?;
            }
            self.erase_from(table, person, erasure).await?;
        }
        let named = person.named(&inner.lake.table(JOURNEYS)?.spec);
        inner.lake.compact_table(store, JOURNEYS, &context).await?;
        let erased = inner.journeys.erase(store, &named, erasure, &context).await?;
        erasure.entry(JOURNEYS.to_owned()).or_default().add(erased);
        Ok(())
    }
}

impl Engine {
    /// Takes a person's rows out of a table that is not derived from others.
    async fn erase_from(&self, table: &Arc<LakeTable>, person: &Person, erasure: &mut Erasure) -> Result<()> {
        let context = self.inner.sessions.task_context();
        let (name, named) = (&table.spec.name, person.named(&table.spec));
        if table.count_named(&person.store, &named).await? > 0 {
            // Only in compacted files does no older version of a row wait to come back.
            self.inner.lake.compact_table(&person.store, name, &context).await?;
        }
        let erased = table.erase(&person.store, &named, None, &context).await?;
        erasure.entry(name.clone()).or_default().add(erased);
        Ok(())
    }

    /// A link that was landed meanwhile gives the person a further id, under which there may be rows. Once links are
    /// gone nobody knows.
    async fn check_known(&self, person: &Person) -> Result<()> {
        for id in person.ids.iter() {
            let now = self.person(&person.store, id).await?;
            if !now.ids.is_subset(&person.ids) {
                return Err(Error::conflict("the customer has got further ids meanwhile: erase again"));
            }
        }
        Ok(())
    }
}

/// How rows are a person's that have no id of theirs in a column of its own.
#[derive(Debug, Clone, Copy)]
enum Reached {
    ByOrder,
    ByRefusedRow,
}

fn reached_by(spec: &TableSpec) -> Option<Reached> {
    match spec.name.as_str() {
        "refunds" | JOURNEYS => Some(Reached::ByOrder),
        "quarantine" => Some(Reached::ByRefusedRow),
        _ => None,
    }
}

fn knows_people(spec: &TableSpec) -> bool {
    reached_by(spec).is_some() || spec.columns.iter().any(|column| column.person)
}

/// Returns true if an id is one of a refused row's values, as the row came or with its format's escapes decoded.
fn names(raw: &str, id: &str) -> bool {
    has_value(raw, id)
        || raw.contains('\\') && has_value(&without_json_escapes(raw), id)
        || raw.contains("\"\"") && has_value(&raw.replace("\"\"", "\""), id)
}

/// A text with JSON's escapes decoded. The row was refused: it need not be JSON.
fn without_json_escapes(raw: &str) -> String {
    let mut units: Vec<u16> = Vec::with_capacity(raw.len());
    let mut rest = raw.chars();
    while let Some(character) = rest.next() {
        if character != '\\' {
            units.extend(character.encode_utf16(&mut [0; 2]).iter());
            continue;
        }
        let after = rest.clone();
        match rest.next() {
            Some('u') => {
                let digits: String = rest.clone().take(4).collect();
                if let Some(unit) = Some(digits)
                    .filter(|digits| digits.len() == 4)
                    .and_then(|digits| u16::from_str_radix(&digits, 16).ok())
                {
                    units.push(unit);
                    rest.nth(3);
                }
            }
            Some('n') => units.push(u16::from(b'\n')),
            Some('t') => units.push(u16::from(b'\t')),
            Some('r') => units.push(u16::from(b'\r')),
            Some('b') => units.push(8),
            Some('f') => units.push(12),
            Some('"' | '\\' | '/') => {
                units.extend(after.take(1).flat_map(|plain| plain.encode_utf16(&mut [0; 2]).to_vec()));
            }
            _ => rest = after,
        }
    }
    String::from_utf16_lossy(&units)
}

/// Returns true if an id stands in a text by itself, not as a part of a longer word.
fn has_value(raw: &str, id: &str) -> bool {
    let is_inside = |character: char| character.is_alphanumeric() || "_-.@".contains(character);
    raw.match_indices(id).any(|(at, _)| {
        let before = raw[..at].chars().next_back();
        let behind = raw[at + id.len()..].chars().next();
        !before.is_some_and(is_inside) && !behind.is_some_and(is_inside)
    })
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn a_refused_row_names_who_is_a_whole_value_of_it() {
        for raw in [r#"{"customer_id":"ada","at":"never"}"#, "o1,ada,never", "ada", "o1\tada\n", "o1;'ada';x"]
        {
            assert!(names(raw, "ada"), "{raw}");
        }
        for raw in [r#"{"customer_id":"adam"}"#, "o1,ada-2,never", "o1,ada@example.org", "canada", ""] {
            assert!(!names(raw, "ada"), "{raw}");
        }
        assert!(names("adam,ada", "ada"), "the first place where it stands is not the only one");
    }

    #[test]
    fn a_refused_row_names_who_is_written_with_escapes() {
        for (raw, id) in [
            (r#"{"customer_id":"zo\u00eb"}"#, "zoë"),
            (r#"{"customer_id":"\ud83d\ude00-1", cut off"#, "😀-1"),
            (r#"{"customer_id":"a\/b"}"#, "a/b"),
            (r#"{"customer_id":"say \"ada\""}"#, r#"say "ada""#),
            (r#"o1,"say ""ada""",never"#, r#"say "ada""#),
        ] {
            assert!(names(raw, id), "{raw}");
        }
        assert!(!names(r#"{"customer_id":"zo\u00ebs"}"#, "zoë"));
    }
}
