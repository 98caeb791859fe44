//! What decoding computes with, against the same arithmetic in fp64: attention of several texts, and maps of few rows.

use ssl_torch::kernels::{Part, attention_texts, linear_few};
use tch::{Device, Kind, Tensor};

/// Numbers that are the same each time, without libtorch's generator.
fn numbers(shape: &[i64], seed: i64) -> Tensor {
    let n = shape.iter().product::<i64>();
    let at = Tensor::arange(n, (Kind::Double, Device::Cpu)) * 12.9898 + seed as f64 * 78.233;
    let noise: Tensor = at.sin() * 43_758.545_3;
    ((noise.frac() * 3.0).to_kind(Kind::Float)).reshape(shape)
}

/// The largest difference over the largest value.
fn relative(found: &Tensor, expected: &Tensor) -> f64 {
    let largest = |x: &Tensor| x.abs().max().double_value(&[]);
    largest(&(found.to_kind(Kind::Double) - expected)) / largest(expected).max(1e-30)
}

const KINDS: [(Kind, f64); 2] = [(Kind::Float, 5e-6), (Kind::BFloat16, 1e-2)];

#[test]
fn each_text_sees_what_stands_before_it_in_itself() {
    // Tokens read and tokens that come, of each text; one or a few queries are met otherwise than many.
    let texts = [(0, 1), (7, 1), (0, 40), (13, 5), (33, 70), (100, 6), (64, 7)];
    for (kind, tolerance) in KINDS {
        for (heads, groups, e) in [(4, 2, 16), (2, 2, 20), (3, 1, 33), (1, 1, 64)] {
            let t: i64 = texts.iter().map(|text| text.1).sum();
            let make = |n: i64, seed| numbers(&[1, t, n * e], seed).to_kind(kind).view([1, t, n, e]).transpose(1, 2);
            let [q, k, v] = [make(heads, 1), make(groups, 2), make(groups, 3)];
            let table = |seed| numbers(&[1, 130 + 41, groups, e], seed).to_kind(kind).transpose(1, 2);
            let tables: Vec<(Tensor, Tensor)> =
                (0..texts.len() as i64).map(|at| (table(2 * at + 5), table(2 * at + 6))).collect();
            let before: Vec<(Tensor, Tensor)> = tables.iter().map(|(k, v)| (k.copy(), v.copy())).collect();
            let part = |(tables, &(from, count))| Part { tables, from, count };
            let parts: Vec<Part<'_>> = tables.iter().zip(&texts).map(part).collect();
            let found = attention_texts(&q, &k, &v, &parts, 0.3).expect("attention");
            let mut at = 0;
            for ((from, count), ((keys, values), old)) in texts.into_iter().zip(tables.iter().zip(&before)) {
                let own = |x: &Tensor| x.narrow(2, at, count);
                let seen = |table: &Tensor, x: &Tensor| Tensor::cat(&[table.narrow(2, 0, from), own(x)], 2);
                let (k, v) = (seen(&old.0, &k), seen(&old.1, &v));
                // What was read stays, what is new stands behind it, and nothing else is touched.
                assert!(keys.narrow(2, 0, from + count) == k && values.narrow(2, 0, from + count) == v);
                let rest = |table: &Tensor| table.narrow(2, from + count, 171 - from - count);
                assert!(rest(keys) == rest(&old.0) && rest(values) == rest(&old.1));
                let wide = |x: &Tensor| x.to_kind(Kind::Double).repeat_interleave_self_int(heads / x.size()[1], 1, None::<i64>);
                let scores = own(&q).to_kind(Kind::Double).matmul(&wide(&k).transpose(2, 3)) * 0.3;
                let hidden = Tensor::ones([count, from + count], (Kind::Bool, Device::Cpu)).triu(from + 1);
                let weights = scores.masked_fill(&hidden, f64::NEG_INFINITY).softmax(-1, Kind::Double);
                let expected = weights.matmul(&wide(&v)).transpose(1, 2).reshape([1, count, heads * e]);
                let far = relative(&found.narrow(1, at, count), &expected);
                assert!(far < tolerance, "{count} after {from}, {heads} heads of {e}, {kind:?}: {far}");
                at += count;
            }
        }
    }
}

#[test]
fn a_table_without_room_and_pieces_that_do_not_add_up_are_refused() {
    let x = |t: i64| numbers(&[1, t, 2, 8], 1).transpose(1, 2);
    let tables = (x(10), x(10));
    let read = |from, count, t| attention_texts(&x(t), &x(t), &x(t), &[Part { tables: &tables, from, count }], 1.0);
    assert!(read(6, 4, 4).is_ok() && read(7, 4, 4).is_err() && read(0, 4, 5).is_err() && read(-1, 4, 4).is_err());
    assert!(read(i64::MAX, 4, 4).is_err() && read(0, i64::MAX, 4).is_err());
}

#[test]
fn no_rows_make_no_rows() {
    let [none] = linear_few(&numbers(&[0, 5], 1), [(&numbers(&[3, 5], 2), None)]).expect("a map");
    assert_eq!(none.size(), [0, 3]);
}

#[test]
fn maps_of_few_rows_are_those_of_fp64() {
    for (kind, tolerance) in KINDS {
        for (inputs, outputs) in [(64, 64), (33, 130), (512, 200), (7, 3), (1, 65)] {
            for rows in [1, 2, 3, 7, 16] {
                let [x, w, b] = [numbers(&[rows, 1, inputs], 1), numbers(&[outputs, inputs], 2), numbers(&[outputs], 3)];
                let [x, w, b] = [x, w, b].map(|x| x.to_kind(kind));
                let wide = |x: &Tensor| x.to_kind(Kind::Double);
                let expected = wide(&x).matmul(&wide(&w).tr());
                let check = |w: &Tensor, b: Option<&Tensor>, expected: &Tensor, what: &str| {
                    let [found] = linear_few(&x, [(w, b)]).expect("a map");
                    assert_eq!(found.kind(), kind);
                    let far = relative(&found, expected);
                    assert!(far < tolerance, "{what} of {rows} rows, {inputs} to {outputs}, {kind:?}: {far}");
                };
                check(&w, None, &expected, "a map");
                check(&w, Some(&b), &(&expected + wide(&b)), "a map with bias");
                // Several at once are each of them alone, to the bit.
                let other = numbers(&[70, inputs], 4).to_kind(kind);
                let [one, two, three] = linear_few(&x, [(&other, None), (&w, Some(&b)), (&w, None)]).expect("maps");
                let alone = |w, b| linear_few(&x, [(w, b)]).expect("a map")[0].shallow_clone();
                assert_eq!((one, two, three), (alone(&other, None), alone(&w, Some(&b)), alone(&w, None)));
                // Rows of int8, each with its scale behind it.
                let scales = numbers(&[outputs, 1], 5).abs() + 0.1;
                let whole = (numbers(&[outputs, inputs], 2) * 40.0).round().to_kind(Kind::Int8);
                let packed = Tensor::cat(&[&whole, &scales.view_dtype(Kind::Int8)], 1);
                let expected = wide(&x).matmul(&(wide(&whole) * wide(&scales)).tr());
                check(&packed, None, &expected, "a map of int8");
            }
        }
    }
    assert!(linear_few(&numbers(&[2, 5], 1), [(&numbers(&[3, 4], 2), None)]).is_err());
    // What one row becomes does not hang on those beside it.
    let packed = |w: &Tensor| {
        let scales = numbers(&[30, 1], 5).abs() + 0.1;
        Tensor::cat(&[&(w * 40.0).round().to_kind(Kind::Int8), &scales.view_dtype(Kind::Int8)], 1)
    };
    let (rows, w, b) = (numbers(&[13, 77], 1), numbers(&[30, 77], 2), numbers(&[30], 3));
    for (kind, w) in [
        (Kind::Float, w.copy()),
        (Kind::BFloat16, w.to_kind(Kind::BFloat16)),
        (Kind::Float, packed(&w)),
        (Kind::BFloat16, packed(&w)),
    ] {
        let (rows, b) = (rows.to_kind(kind), b.to_kind(kind));
        let [all] = linear_few(&rows, [(&w, Some(&b))]).expect("a map");
        for row in 0..13 {
            let [alone] = linear_few(&rows.narrow(0, row, 1), [(&w, Some(&b))]).expect("a map");
            assert_eq!(alone, all.narrow(0, row, 1), "row {row} of {kind:?} by {:?}", w.kind());
        }
    }
}
