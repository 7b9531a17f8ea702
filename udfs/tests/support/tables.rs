//! Small touchpoints, orders and refunds as tables in memory.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, Date32Array, Decimal128Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt32Array,
};
use datafusion::arrow::compute::take_record_batch;
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::catalog::{MemTable, TableProvider};
use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use tributary_udfs::{JourneyInput, JourneyTables, relation_planners, scalar_functions, table_functions};

pub const DAY: i64 = 86_400_000_000;

#[derive(Debug, Clone)]
pub struct Touch {
    pub id: String,
    pub customer: String,
    pub at: i64,
    pub channel: String,
    pub kind: &'static str,
}

#[derive(Debug, Clone)]
pub struct Order {
    pub id: String,
    pub customer: String,
    pub at: i64,
    pub status: &'static str,
    pub currency: String,
    /// Ten-thousandths.
    pub revenue: i64,
    pub cost: Option<i64>,
}

#[derive(Debug, Clone)]
pub struct Refund {
    pub id: String,
    pub order: String,
    pub at: i64,
    pub amount: i64,
}

#[derive(Debug, Clone, Default)]
pub struct Data {
    pub touches: Vec<Touch>,
    pub orders: Vec<Order>,
    pub refunds: Vec<Refund>,
}

fn texts<'a>(values: impl Iterator<Item = &'a str>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

fn instants(values: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from_iter_values(values).with_timezone("UTC"))
}

fn money(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    let amounts: Decimal128Array = values.map(|value| value.map(i128::from)).collect();
    Arc::new(amounts.with_data_type(DataType::Decimal128(18, 4)))
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let fields: Vec<Field> =
        columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect();
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

impl Data {
    /// Touches, orders and refunds as batches.
    pub fn batches(&self) -> [RecordBatch; 3] {
        let (touches, orders, refunds) = (&self.touches, &self.orders, &self.refunds);
        [
            batch(vec![
                ("touch_id", texts(touches.iter().map(|touch| touch.id.as_str()))),
                ("customer_id", texts(touches.iter().map(|touch| touch.customer.as_str()))),
                ("touched_at", instants(touches.iter().map(|touch| touch.at))),
                ("channel", texts(touches.iter().map(|touch| touch.channel.as_str()))),
                ("source", texts(touches.iter().map(|_| "site"))),
                ("campaign", texts(touches.iter().map(|_| "spring"))),
                ("kind", texts(touches.iter().map(|touch| touch.kind))),
            ]),
            batch(vec![
                ("order_id", texts(orders.iter().map(|order| order.id.as_str()))),
                ("customer_id", texts(orders.iter().map(|order| order.customer.as_str()))),
                ("ordered_at", instants(orders.iter().map(|order| order.at))),
                ("status", texts(orders.iter().map(|order| order.status))),
                ("currency", texts(orders.iter().map(|order| order.currency.as_str()))),
                ("revenue", money(orders.iter().map(|order| Some(order.revenue)))),
                ("cost_of_goods", money(orders.iter().map(|order| order.cost))),
            ]),
            batch(vec![
                ("refund_id", texts(refunds.iter().map(|refund| refund.id.as_str()))),
                ("order_id", texts(refunds.iter().map(|refund| refund.order.as_str()))),
                ("refunded_at", instants(refunds.iter().map(|refund| refund.at))),
                ("amount", money(refunds.iter().map(|refund| Some(refund.amount)))),
            ]),
        ]
    }
}

/// Deals a batch's rows, in the given order, to partitions of small batches.
pub fn table(batch: &RecordBatch, order: &[u32], partitions: usize, size: usize) -> Arc<dyn TableProvider> {
    let rows = take_record_batch(batch, &UInt32Array::from(order.to_vec())).unwrap();
    let mut parts = vec![Vec::new(); partitions];
    for (k, start) in (0..rows.num_rows()).step_by(size).enumerate() {
        parts[k % partitions].push(rows.slice(start, size.min(rows.num_rows() - start)));
    }
    Arc::new(MemTable::try_new(rows.schema(), parts).unwrap())
}

/// Registers every function over some data, given in its own order.
pub fn register(context: &SessionContext, data: Data) {
    let [touches, orders, refunds] = data.batches().map(|batch| {
        let order: Vec<u32> = (0..batch.num_rows() as u32).collect();
        table(&batch, &order, 2, 3)
    });
    register_tables(context, touches, orders, refunds);
}

pub fn register_tables(
    context: &SessionContext,
    touches: Arc<dyn TableProvider>,
    orders: Arc<dyn TableProvider>,
    refunds: Arc<dyn TableProvider>,
) {
    for function in scalar_functions() {
        context.register_udf(function);
    }
    let tables = JourneyTables {
        store: "demo".into(),
        zone: chrono_tz::Tz::UTC,
        touchpoints: JourneyInput::Any(touches),
        orders: JourneyInput::Any(orders),
        refunds,
        rates: Some(rates()),
        identities: None,
    };
    for (name, function) in table_functions(&tables) {
        context.register_udtf(name, function);
    }
}

/// A session that takes arguments by name.
pub fn session() -> SessionContext {
    session_with(SessionConfig::new())
}

pub fn session_with(config: SessionConfig) -> SessionContext {
    let state = SessionStateBuilder::new()
        .with_config(config)
        .with_default_features()
        .with_relation_planners(relation_planners());
    SessionContext::new_with_state(state.build())
}

/// One euro buys 1.25 dollars in the first days of 1970.
fn rates() -> Arc<dyn TableProvider> {
    let rate =
        Decimal128Array::from_iter_values([1_250_000_000_000]).with_data_type(DataType::Decimal128(24, 12));
    let batch = batch(vec![
        ("date", Arc::new(Date32Array::from_iter_values([13]))),
        ("base", texts(["EUR"].into_iter())),
        ("quote", texts(["USD"].into_iter())),
        ("rate", Arc::new(rate)),
    ]);
    Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]]).unwrap())
}

fn touch(id: &str, customer: &str, day: i64, channel: &str, kind: &'static str) -> Touch {
    Touch { id: id.into(), customer: customer.into(), at: day * DAY, channel: channel.into(), kind }
}

fn order(id: &str, customer: &str, day: i64, status: &'static str, revenue: i64) -> Order {
    let (id, customer, currency) = (id.into(), customer.into(), "USD".into());
    Order { id, customer, at: day * DAY, status, currency, revenue, cost: Some(revenue / 2) }
}

/// The data of the `.slt` files.
pub fn sample() -> Data {
    Data {
        touches: vec![
            touch("t1", "ann", 1, "email", "click"),
            touch("t2", "ann", 8, " search ", "click"),
            touch("t3", "ann", 15, "", "click"),
            touch("t3", "ann", 15, "", "click"),
            touch("t4", "ann", 15, "display", "view"),
            touch("t5", "bob", 3, "email", "click"),
            touch("t6", "cid", 50, "email", "click"),
        ],
        orders: vec![
            order("o1", "ann", 15, "completed", 1_000_000),
            order("o2", "bob", 60, "completed", 500_000),
            order("o3", "cid", 51, "cancelled", 700_000),
            order("o4", "dan", 52, "completed", 10_000),
        ],
        refunds: vec![
            Refund { id: "r1".into(), order: "o1".into(), at: 20 * DAY, amount: 333_300 },
            Refund { id: "r2".into(), order: "gone".into(), at: 21 * DAY, amount: 50_000 },
        ],
    }
}
