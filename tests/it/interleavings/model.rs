//! The actions of actors, and their possible outcomes: those of one actor after the other, in some order.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;

use futures::TryStreamExt as _;
use serde_json::{Value, json};
use tributary::{Engine, Error, ErrorKind, LandRequest, Params};

use crate::support::{ndjson, rows};

pub const STORE: &str = "s";

/// One order of a customer, in a month of 2026.
#[derive(Debug, Clone, Copy)]
pub struct Order {
    pub id: &'static str,
    pub customer: &'static str,
    pub month: u8,
    pub revenue: u32,
}

impl Order {
    fn row(&self) -> Value {
        order_row(self.id, self.customer, self.month, self.revenue)
    }
}

pub fn order_row(id: &str, customer: &str, month: u8, revenue: u32) -> Value {
    json!({"order_id": id, "customer_id": customer, "status": "completed", "currency": "USD",
           "ordered_at": format!("2026-{month:02}-10T00:00:00Z"), "revenue": format!("{revenue}.00")})
}

/// The action of one actor.
#[derive(Debug, Clone)]
pub enum Action {
    /// Lands orders under an idempotency key.
    Land(&'static str, Vec<Order>),
    Erase(&'static str),
    Nightly,
    Vacuum,
    Ask,
}

/// The orders of the store: id, customer and revenue.
pub type Orders = BTreeMap<String, (String, String)>;

/// The answer that an actor got.
#[derive(Debug)]
pub enum Outcome {
    Landed { already: bool },
    Erased { rows_left: u64 },
    Answer(Orders),
    Done,
    Failed(Error),
}

pub async fn perform(engine: &Engine, action: &Action) -> Outcome {
    let outcome = match action {
        Action::Land(key, orders) => {
            let body: String = orders.iter().map(|order| format!("{}\n", order.row())).collect();
            let request = LandRequest { idempotency_key: Some((*key).to_owned()), ..ndjson() };
            let landed = engine.land(STORE, "orders", Cursor::new(body), request).await;
            landed.map(|receipt| Outcome::Landed { already: receipt.already_landed })
        }
        Action::Erase(customer) => {
            erase(engine, customer).await.map(|rows_left| Outcome::Erased { rows_left })
        }
        Action::Nightly => nightly(engine).await.map(|()| Outcome::Done),
        Action::Vacuum => engine.vacuum(false).await.map(|_| Outcome::Done),
        Action::Ask => orders(engine).await.map(Outcome::Answer),
    };
    outcome.unwrap_or_else(Outcome::Failed)
}

/// Erases a customer as the command does; gives the rows that were found in any file afterwards.
pub async fn erase(engine: &Engine, customer: &str) -> Result<u64, Error> {
    let person = engine.person(STORE, customer).await?;
    engine.erase(&person).await?;
    let purged = engine.purge_erased(&person).await?;
    Ok(purged.rows_left + purged.files_unread)
}

pub async fn nightly(engine: &Engine) -> Result<(), Error> {
    let reports = engine.nightly(Some(STORE)).await?;
    match reports.into_iter().flat_map(|report| report.failed).next() {
        None => Ok(()),
        Some(failure) => Err(Error::new(failure.kind, format!("{}: {}", failure.table, failure.error))),
    }
}

pub async fn orders(engine: &Engine) -> Result<Orders, Error> {
    let text = "select order_id, customer_id, revenue from orders order by order_id, revenue";
    let batches: Vec<_> = engine.sql(STORE, text, &Params::new()).await?.stream.try_collect().await?;
    let (rows, mut orders) = (rows(&batches), Orders::new());
    for mut row in rows {
        let mut value = |name: &str| row.remove(name).unwrap_or_default();
        let (id, order) = (value("order_id"), (value("customer_id"), value("revenue")));
        assert!(orders.insert(id, order).is_none(), "an order is there twice");
    }
    Ok(orders)
}

/// The rows that one actor after the other would leave.
#[derive(Debug, Clone, Default)]
pub struct Model {
    pub orders: Orders,
    keys: BTreeSet<&'static str>,
}

impl Model {
    /// Takes an action into account. Returns false if its actor would have been told something else.
    /// Files may be gone that a query reads if it `is_cut_off`.
    pub fn take(&mut self, action: &Action, outcome: &Outcome, is_cut_off: bool) -> bool {
        match (action, outcome) {
            (Action::Land(key, orders), Outcome::Landed { already }) => {
                let is_new = self.keys.insert(key);
                for order in orders.iter().filter(|_| is_new) {
                    let value = (order.customer.to_owned(), format!("{}.0000", order.revenue));
                    self.orders.insert(order.id.to_owned(), value);
                }
                *already != is_new
            }
            (Action::Erase(customer), Outcome::Erased { .. }) => {
                self.orders.retain(|_, (of, _)| of != customer);
                true
            }
            (Action::Ask, Outcome::Answer(orders)) => self.orders == *orders,
            (Action::Nightly | Action::Vacuum, Outcome::Done) => true,
            // A query that an erasure has cut off is told so.
            (Action::Ask, Outcome::Failed(error)) => error.kind() == ErrorKind::Unavailable && is_cut_off,
            _ => false,
        }
    }

    /// Returns true if some order of the actions explains the answers and what is there now. `is_before` says
    /// which action had ended before another one began.
    pub fn explains(
        &self,
        actions: &[(&Action, &Outcome)],
        found: &Orders,
        is_before: &(dyn Fn(usize, usize) -> bool + Sync),
    ) -> bool {
        let all: Vec<usize> = (0..actions.len()).collect();
        self.clone().explains_rest(&all, actions, found, is_before)
    }

    fn explains_rest(
        &self,
        rest: &[usize],
        actions: &[(&Action, &Outcome)],
        found: &Orders,
        is_before: &(dyn Fn(usize, usize) -> bool + Sync),
    ) -> bool {
        if rest.is_empty() {
            return self.orders == *found;
        }
        rest.iter().any(|next| {
            let others: Vec<usize> = rest.iter().copied().filter(|other| other != next).collect();
            let mut after = self.clone();
            let (action, outcome) = actions[*next];
            let is_cut_off = actions.iter().any(|(action, _)| matches!(action, Action::Erase(_)));
            others.iter().all(|other| !is_before(*other, *next))
                && after.take(action, outcome, is_cut_off)
                && after.explains_rest(&others, actions, found, is_before)
        })
    }
}
