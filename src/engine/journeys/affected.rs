//! The orders that changes can reach, and the rows that they are computed from.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::cast;
use arrow::datatypes::{FieldRef, Schema};
use datafusion::common::{HashMap, HashSet};
use datafusion::datasource::MemTable;
use datafusion::physical_plan::collect_partitioned;
use tributary_udfs::{Identities, SortedRuns as _, standard_lookback_us};

use super::REFUSED_DAYS;
use super::changes::{Changes, rows, texts};
use crate::error::{Error, Result};
use crate::lake::{Keep, Lake, LakeTable};
use crate::session::{Only, Pins, Sessions};

const DAY_US: i64 = 86_400_000_000;

/// One store's tables at the versions that are to be seen.
pub struct Reading<'a> {
    pub lake: &'a Lake,
    pub sessions: &'a Sessions,
    pub pins: &'a Pins,
    pub store: &'a str,
}

/// The orders to compute again, and whose they are.
#[derive(Debug, Default)]
pub struct Affected {
    pub orders: HashSet<String>,
    /// The customers of those orders, resolved.
    customers: HashSet<String>,
    /// From the first to the last of the orders; none of it where there is no order.
    span: Option<Span>,
    identities: Identities,
}

/// Instants of orders, from the first to the last.
type Span = (i64, i64);

const EVER: Span = (i64::MIN, i64::MAX);

impl Affected {
    /// Finds what changes can reach. An order too many costs its computation; one too few would be wrong.
    pub async fn by(reading: &Reading<'_>, table: &Arc<LakeTable>, changes: Changes) -> Result<Self> {
        let links = reading.rows("identities", None, &["anonymous_id", "customer_id"]).await?;
        let mut affected = Self { identities: Identities::try_new(&links)?, ..Self::default() };
        let mut reach: HashMap<String, Vec<Span>> = HashMap::new();
        let mut touch_ids: HashSet<String> = HashSet::new();
        for (id, customer, at) in changes.touches {
            let latest = at.saturating_add(standard_lookback_us() + REFUSED_DAYS * DAY_US);
            let span = (at.saturating_sub(REFUSED_DAYS * DAY_US), latest);
            reach.entry(affected.resolved(&customer)).or_default().push(span);
            touch_ids.insert(id);
        }
        // Whoever was linked, or is linked otherwise: the orders of who they are now, and by their touches those of who
        // they were.
        let merged: HashSet<String> = changes.identities.iter().map(|id| affected.resolved(id)).collect();
        if !merged.is_empty() {
            touch_ids.extend(reading.ids("touchpoints", affected.keep(&merged, EVER), "touch_id").await?);
            reach.extend(merged.into_iter().map(|customer| (customer, vec![EVER])));
        }
        affected.add_orders_in_reach(reading, &reach).await?;
        for (id, customer, at) in changes.orders {
            affected.add(id, &customer, at);
        }
        let (refund_ids, refunded): (HashSet<String>, HashSet<String>) = changes.refunds.into_iter().unzip();
        affected.orders.extend(refunded.iter().cloned());
        for (column, ids) in [("touch_id", touch_ids), ("entry_id", refund_ids), ("order_id", refunded)] {
            affected.add_stored(reading, table, column, ids).await?;
        }
        Ok(affected)
    }

    /// The rows that the orders are computed from, and no others.
    pub async fn only(&self, reading: &Reading<'_>) -> Result<Only> {
        let (first, last) = self.span.unwrap_or((i64::MAX, i64::MIN));
        let beyond_us = REFUSED_DAYS * DAY_US;
        let earliest = first.saturating_sub(standard_lookback_us() + beyond_us);
        let touchpoints = self.keep(&self.customers, (earliest, last.saturating_add(beyond_us)));
        let ids = Arc::new(self.orders.clone());
        let only = Some(("order_id".to_owned(), ids));
        let orders = Keep { only, between_us: (first, last), ..touchpoints.clone() };
        let mut firsts: Vec<String> = self.orders.iter().cloned().collect();
        firsts.sort_unstable();
        let keep = Keep { firsts: Arc::new(firsts), only: None, between_us: EVER };
        let columns = ["refund_id", "order_id", "refunded_at", "amount"];
        let rows = reading.rows("refunds", Some(keep), &columns).await?;
        let schema = reading.lake.table("refunds")?.spec.table_schema();
        let misfit = |error| Error::internal("refunds of some orders").with_source(error);
        let fields = columns.map(|name| schema.field_with_name(name).cloned());
        let schema = Schema::new(fields.into_iter().collect::<Result<Vec<_>, _>>().map_err(misfit)?);
        let schema = Arc::new(schema);
        // Runs are read as dictionaries and views, in the order of the file's columns.
        let typed = |batch: &RecordBatch| {
            let column = |field: &FieldRef| cast(&batch[field.name()], field.data_type());
            let columns = schema.fields().iter().map(column).collect::<Result<_, _>>()?;
            RecordBatch::try_new(schema.clone(), columns)
        };
        let rows = rows.iter().map(typed).collect::<Result<_, _>>().map_err(misfit)?;
        let refunds = Arc::new(MemTable::try_new(schema.clone(), vec![rows])?);
        Ok(Only { touchpoints, orders, refunds })
    }

    /// The orders that some rows have none of.
    pub fn without(&self, rows: &[RecordBatch]) -> Result<Vec<String>> {
        let mut gone = self.orders.clone();
        for batch in rows {
            for id in texts(batch, "order_id")? {
                gone.remove(&id);
            }
        }
        let mut gone: Vec<String> = gone.into_iter().collect();
        gone.sort_unstable();
        Ok(gone)
    }

    async fn add_orders_in_reach(
        &mut self,
        reading: &Reading<'_>,
        reach: &HashMap<String, Vec<Span>>,
    ) -> Result<()> {
        let customers: HashSet<String> = reach.keys().cloned().collect();
        let spans = || reach.values().flatten();
        let earliest = spans().map(|(from, _)| *from).min().unwrap_or(i64::MAX);
        let latest = spans().map(|(_, to)| *to).max().unwrap_or(i64::MIN);
        let keep = self.keep(&customers, (earliest, latest));
        for batch in reading.rows("orders", Some(keep), &["order_id", "customer_id", "ordered_at"]).await? {
            for (id, customer, at) in rows(&batch, "order_id", "ordered_at")? {
                let spans = reach.get(&self.resolved(&customer)).map_or(&[][..], Vec::as_slice);
                if spans.iter().any(|(from, to)| *from <= at && at <= *to) {
                    self.add(id, &customer, at);
                }
            }
        }
        Ok(())
    }

    /// Adds the orders in whose rows some ids stand.
    async fn add_stored(
        &mut self,
        reading: &Reading<'_>,
        table: &Arc<LakeTable>,
        column: &'static str,
        ids: HashSet<String>,
    ) -> Result<()> {
        let snapshot = table.snapshot().await?;
        let wanted = &["order_id", "customer_id", "ordered_at"];
        for batch in table.lookup(reading.store, &snapshot, column, ids, wanted).await? {
            for (id, customer, at) in rows(&batch, "order_id", "ordered_at")? {
                self.add(id, &customer, at);
            }
        }
        Ok(())
    }

    fn add(&mut self, order: String, customer: &str, at: i64) {
        let (first, last) = self.span.unwrap_or((at, at));
        self.span = Some((first.min(at), last.max(at)));
        self.orders.insert(order);
        let customer = self.resolved(customer);
        self.customers.insert(customer);
    }

    fn resolved(&self, id: &str) -> String {
        self.identities.customer(id).unwrap_or(id).to_owned()
    }

    /// The rows of some customers, under any of their ids.
    fn keep(&self, customers: &HashSet<String>, between_us: Span) -> Keep {
        let mut firsts: Vec<String> = self.identities.linked_to(customers);
        firsts.extend(customers.iter().cloned());
        firsts.sort_unstable();
        firsts.dedup();
        Keep { firsts: Arc::new(firsts), only: None, between_us }
    }
}

impl Reading<'_> {
    /// Some columns of a table's rows: the newest of each key.
    async fn rows(&self, table: &str, keep: Option<Keep>, columns: &[&str]) -> Result<Vec<RecordBatch>> {
        let Some(snapshot) = self.pins.snapshot(table) else { return Ok(Vec::new()) };
        let runs = self.lake.table(table)?.store_runs(self.store, snapshot, None).await?.keeping(keep);
        let rows = collect_partitioned(runs.scan(columns, &[])?, self.sessions.task_context()).await?;
        Ok(rows.into_iter().flatten().collect())
    }

    async fn ids(&self, table: &str, keep: Keep, column: &str) -> Result<Vec<String>> {
        let mut ids = Vec::new();
        // The filter needs the customer beside the id.
        for batch in self.rows(table, Some(keep), &[column, "customer_id"]).await? {
            ids.extend(texts(&batch, column)?);
        }
        Ok(ids)
    }
}
