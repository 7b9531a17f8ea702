//! What must hold for any data: sums, and independence of how the input comes.

use std::collections::BTreeMap;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::prelude::SessionConfig;
use proptest::prelude::*;

use super::tables::{DAY, Data, Order, Refund, Touch, register_tables, session_with, table};

prop_compose! {
    fn data()(
        touches in prop::collection::vec((0_u8..6, 0_i64..40, 0_u8..4, any::<bool>()), 0..60),
        orders in prop::collection::vec((0_u8..6, 0_i64..45, 0_i64..2_000_000, 0_u8..5), 0..20),
        refunds in prop::collection::vec((0_u8..22, 0_i64..60, 0_i64..500_000), 0..12),
    ) -> Data {
        let customer = |c: u8| format!("c{c}");
        Data {
            touches: touches.iter().enumerate().map(|(k, &(c, day, channel, is_view))| Touch {
                id: format!("t{}", k * 7 % 50), customer: customer(c), at: day * DAY, channel: format!("ch{channel}"),
                kind: if is_view { "view" } else { "click" },
            }).collect(),
            orders: orders.iter().enumerate().map(|(k, &(c, day, revenue, kind))| Order {
                id: format!("o{k}"), customer: customer(c), at: day * DAY,
                status: if kind == 0 { "cancelled" } else { "completed" },
                currency: if kind == 1 { "JPY".into() } else { "USD".into() },
                revenue, cost: (kind != 2).then_some(revenue / 3),
            }).collect(),
            refunds: refunds.iter().enumerate().map(|(k, &(order, day, amount))| Refund {
                id: format!("r{k}"), order: format!("o{order}"), at: day * DAY, amount,
            }).collect(),
        }
    }
}

fn query(data: &Data, seed: usize, partitions: usize, size: usize) -> RecordBatch {
    let [touches, orders, refunds] = data.batches().map(|batch| {
        let mut order: Vec<u32> = (0..batch.num_rows() as u32).collect();
        order.sort_by_key(|&row| (row as usize + 1).wrapping_mul(seed * 2_654_435_761) % 1_009);
        table(&batch, &order, partitions, size)
    });
    let context =
        session_with(SessionConfig::new().with_target_partitions(partitions).with_batch_size(size * 3));
    register_tables(&context, touches, orders, refunds);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let frame = context.sql("select * from journeys(30, 7, true)").await.unwrap();
        let schema = std::sync::Arc::new(frame.schema().as_arrow().clone());
        concat_batches(&schema, &frame.collect().await.unwrap()).unwrap()
    })
}

fn column(batch: &RecordBatch, name: &str) -> Vec<Option<String>> {
    let array = batch.column_by_name(name).unwrap();
    let formatter = ArrayFormatter::try_new(array.as_ref(), &FormatOptions::default()).unwrap();
    (0..batch.num_rows()).map(|row| array.is_valid(row).then(|| formatter.value(row).to_string())).collect()
}

fn cents(text: &str) -> i128 {
    text.replace('.', "").parse().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_order_and_batching_gives_the_same_bytes(data in data(), seed in 1_usize..500) {
        let plain = query(&data, 0, 1, 1_000);
        for (partitions, size) in [(1, 2), (3, 5)] {
            prop_assert_eq!(&plain, &query(&data, seed, partitions, size));
        }
    }

    #[test]
    fn credits_and_profits_sum_to_each_entry(data in data()) {
        let rows = query(&data, 1, 2, 7);
        let entries = column(&rows, "entry_id");
        let position = column(&rows, "linear_weight");
        for what in ["amount", "profit"] {
            let whole = column(&rows, what);
            for model in ["first_touch", "last_touch", "linear", "time_decay", "position_based"] {
                let name = format!("{model}_{}", if what == "amount" { "credit" } else { what });
                let mut left = BTreeMap::new();
                for (row, credit) in column(&rows, &name).iter().enumerate() {
                    if position[row].is_none() {
                        prop_assert!(credit.is_none());
                        continue;
                    }
                    prop_assert_eq!(credit.is_none(), whole[row].is_none());
                    let whole = whole[row].as_deref().map_or(0, cents);
                    *left.entry(&entries[row]).or_insert(whole) -= credit.as_deref().map_or(0, cents);
                }
                prop_assert!(left.values().all(|&left| left == 0));
            }
        }
    }
}
