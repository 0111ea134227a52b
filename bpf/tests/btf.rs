//! The BTF of the compiled object agrees with the definition, field by field: a size alone would not see two swapped
//! fields.

use libbpf_rs::btf::{Btf, types};
use weir_schema::wire::{Field, HEADER, HEADER_SIZE, Wire, offset_of};
use weir_schema::{CLASSES, Class};

const OBJECT: &str = concat!(env!("OUT_DIR"), "/weir.bpf.o");

/// Name, bit offset and size in bytes of every member.
fn members(btf: &Btf<'_>, name: &str) -> Vec<(String, u32, usize)> {
    let found: types::Struct<'_> = btf.type_by_name(name).unwrap_or_else(|| panic!("the object has no struct {name}"));
    let member = |m: &types::StructMember<'_>| {
        let ty = btf.type_by_id::<libbpf_rs::btf::BtfType<'_>>(m.ty).expect("a member's type");
        let size = size_of(btf, ty);
        let types::MemberAttr::Normal { offset } = m.attr else { panic!("{name} has a bit field") };
        (m.name.expect("a name").to_string_lossy().into_owned(), offset, size)
    };
    found.iter().map(|m| member(&m)).collect()
}

fn size_of(btf: &Btf<'_>, ty: libbpf_rs::btf::BtfType<'_>) -> usize {
    let ty = ty.skip_mods_and_typedefs();
    if let Ok(array) = types::Array::try_from(ty) {
        return array.capacity() * size_of(btf, array.contained_type());
    }
    if let Ok(int) = types::Int::try_from(ty) {
        return usize::from(int.bits) / 8;
    }
    if let Ok(whole) = types::Struct::try_from(ty) {
        return byte_size(btf, whole);
    }
    panic!("a record has a member of an unexpected kind: {ty:?}")
}

/// End of the last member.
fn byte_size(btf: &Btf<'_>, whole: types::Struct<'_>) -> usize {
    let name = whole.name().expect("a name").to_string_lossy().into_owned();
    members(btf, &name).iter().map(|(_, offset, size)| *offset as usize / 8 + size).max().unwrap_or(0)
}

fn expected(fields: &'static [Field], base: usize) -> Vec<(String, u32, usize)> {
    let field = |f: &Field| (f.name.to_owned(), 8 * (base + offset_of(fields, f.name)) as u32, Wire::size(f.wire));
    fields.iter().map(field).collect()
}

fn expected_of(class: &Class) -> Vec<(String, u32, usize)> {
    let layout = class.layout();
    let mut all = vec![("header".to_owned(), 0, HEADER_SIZE)];
    all.extend(expected(class.fields, HEADER_SIZE));
    let tail = |(i, name): (usize, &&str)| (format!("{name}_len"), 8 * (layout.tail_lengths + 2 * i) as u32, 2);
    all.extend(class.tails.iter().enumerate().map(tail));
    all
}

#[test]
fn every_field_of_every_record_stands_where_the_definition_says() {
    let btf = Btf::from_path(OBJECT).expect("the object's BTF");
    assert_eq!(members(&btf, "weir_header"), expected(HEADER, 0));
    for class in CLASSES.iter().filter(|c| c.has_record()) {
        let name = format!("weir_{}", class.name);
        assert_eq!(members(&btf, &name), expected_of(class), "{name}");
        let found: types::Struct<'_> = btf.type_by_name(name.as_str()).expect("found above");
        assert_eq!(byte_size(&btf, found).next_multiple_of(8), class.layout().fixed, "{name}");
    }
}
