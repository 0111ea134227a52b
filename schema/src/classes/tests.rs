//! Tests over the whole table.

use std::collections::HashMap;

use super::*;
use crate::column::{COMMON, CONTEXT, ColumnType, Source, locate};
use crate::symbols;
use crate::syscalls;
use crate::wire::{HEADER_SIZE, align_up, end_of};

#[test]
fn classes_stand_at_their_number_and_actions_at_theirs() {
    for (i, class) in CLASSES.iter().enumerate() {
        assert_eq!(class.id.index(), i);
        for (j, action) in class.actions.iter().enumerate() {
            assert_eq!(usize::from(action.id), (i + 1) << 8 | (j + 1), "{}", action.name);
            assert_eq!(class.action(action.id).map(|a| a.name), Some(action.name));
        }
    }
}

#[test]
fn no_column_name_has_two_types_across_tables() {
    let mut types: HashMap<&str, ColumnType> = HashMap::new();
    for class in CLASSES {
        for column in class.all_columns() {
            let first = *types.entry(column.name).or_insert(column.ty);
            assert_eq!(first, column.ty, "{}.{}", class.name, column.name);
        }
    }
}

#[test]
fn no_class_has_a_column_twice() {
    for class in CLASSES {
        let mut names: Vec<_> = class.all_columns().map(|c| c.name).collect();
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(all, names.len(), "{}", class.name);
    }
}

#[test]
fn records_need_no_padding_inside() {
    for class in CLASSES.iter().filter(|c| c.has_record()) {
        let bytes: usize = class.fields.iter().map(|f| f.wire.size()).sum();
        assert_eq!(bytes, end_of(class.fields), "{}", class.name);
        let layout = class.layout();
        assert_eq!(layout.tail_lengths, HEADER_SIZE + align_up(bytes, 2));
        assert_eq!(layout.fixed % 8, 0);
    }
}

#[test]
fn every_column_that_reads_a_field_finds_it() {
    for class in CLASSES.iter().filter(|c| c.has_record()) {
        for column in class.all_columns() {
            if let Some(field) = column.reads() {
                assert!(locate(class.fields, &column.source).is_some(), "{}.{field}", class.name);
            }
            let tails: Vec<&str> = match column.source {
                Source::Text { tail } | Source::List { tail } | Source::Walk { tail } => vec![tail],
                Source::Path { walk, raw, dir } => walk.into_iter().chain([raw, dir]).collect(),
                _ => vec![],
            };
            for tail in tails {
                assert!(class.tail(tail).is_some(), "{}.{tail}", class.name);
            }
        }
    }
}

#[test]
fn every_action_sets_columns_that_exist_and_no_column_is_left_without_an_action() {
    for class in CLASSES {
        for action in class.actions {
            for name in action.sets.iter().chain(action.also) {
                assert!(class.columns.iter().any(|c| c.name == *name), "{}.{}: {name}", class.name, action.name);
            }
        }
        for column in class.columns.iter().filter(|c| c.name != "text_escaped") {
            assert!(class.actions.iter().any(|a| a.has(column.name)), "{}.{}", class.name, column.name);
        }
    }
}

#[test]
fn every_symbol_column_that_an_action_sets_has_a_known_symbol_set() {
    for class in CLASSES {
        for action in class.actions {
            for column in class.columns.iter().filter(|c| matches!(c.source, Source::Symbols { .. })) {
                if action.has(column.name) {
                    let set = action.symbols.iter().find(|(name, _)| *name == column.name);
                    let (_, set) = set.unwrap_or_else(|| panic!("{}.{} has no set", action.name, column.name));
                    assert!(symbols::by_name(set).is_some(), "{set}");
                }
            }
        }
    }
}

#[test]
fn every_call_of_an_action_is_a_call_of_the_machine() {
    for class in CLASSES {
        for action in class.actions {
            for call in action.calls {
                assert!(syscalls::by_name(syscalls::Abi::X86_64, call).is_some(), "{call}");
            }
        }
    }
}

#[test]
fn the_common_columns_lead_every_table_and_the_context_ends_it() {
    for class in CLASSES {
        let names: Vec<&str> = class.all_columns().map(|c| c.name).collect();
        assert!(COMMON.iter().map(|c| c.name).eq(names[..COMMON.len()].iter().copied()));
        assert!(CONTEXT.iter().map(|c| c.name).eq(names[names.len() - CONTEXT.len()..].iter().copied()));
    }
}
