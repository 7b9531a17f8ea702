//! Customers' ids, compared fast: those of up to twelve bytes as one number.

use std::cmp::Ordering;

use arrow::array::{Array, StringViewArray};

/// The bytes that a string view holds in itself.
const INLINE_BYTES: usize = 12;

/// A customer's id, or none, which comes before all others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CustomerKey {
    id: Option<String>,
    /// The id as a number of the same order, where it is short enough.
    inline: Option<u128>,
}

impl CustomerKey {
    pub fn new(id: Option<&str>) -> Self {
        let mut key = Self::default();
        key.set(id);
        key
    }

    /// Takes another id into the same room.
    pub fn set(&mut self, id: Option<&str>) {
        match (&mut self.id, id) {
            (Some(held), Some(id)) => {
                held.clear();
                held.push_str(id);
            }
            (held, id) => *held = id.map(str::to_owned),
        }
        self.inline = id.filter(|id| id.len() <= INLINE_BYTES).map(|id| {
            let mut view = [0; 16];
            view[..4].copy_from_slice(&(id.len() as u32).to_le_bytes());
            view[4..4 + id.len()].copy_from_slice(id.as_bytes());
            StringViewArray::inline_key_fast(u128::from_le_bytes(view))
        });
    }

    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// How the customer of a row compares with this one.
    #[inline]
    pub fn row_cmp(&self, customers: &StringViewArray, row: usize) -> Ordering {
        if customers.null_count() > 0 && customers.is_null(row) {
            return if self.id.is_none() { Ordering::Equal } else { Ordering::Less };
        }
        let Some(id) = &self.id else { return Ordering::Greater };
        let view = customers.views()[row];
        match self.inline {
            Some(inline) if view as u32 as usize <= INLINE_BYTES => {
                StringViewArray::inline_key_fast(view).cmp(&inline)
            }
            _ => customers.value(row).cmp(id.as_str()),
        }
    }
}

/// The customer of a row.
pub fn customer_of(customers: &StringViewArray, row: usize) -> Option<&str> {
    customers.is_valid(row).then(|| customers.value(row))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ids_of_every_length_compare_as_bytes(
            id in prop::option::of("[a-cä]{0,15}"),
            others in prop::collection::vec(prop::option::of("[a-cä]{0,15}"), 1..20),
        ) {
            let key = CustomerKey::new(id.as_deref());
            let customers: StringViewArray = others.iter().map(Option::as_deref).collect();
            for (row, other) in others.iter().enumerate() {
                prop_assert_eq!(key.row_cmp(&customers, row), other.as_deref().cmp(&id.as_deref()));
            }
        }
    }
}
