//! What attention did in a pass: the weights that a fused kernel never writes down.
//!
//! A watched pass computes the weights of one layer a second time, in fp32, from the very queries and keys that the layer was given.
//! What the pass itself computes stays as it is.

use std::cell::RefCell;

use tch::Tensor;

/// What one layer's attention did.
#[derive(Debug)]
pub struct Seen {
    /// How each query divides its attention among the keys, in fp32: `[b, h, t, s]`, every row a sum of 1.
    pub weights: Tensor,
    /// What was divided: `[b, h, s, e]`.
    pub values: Tensor,
    /// What came of it: `[b, t, h * e]`.
    pub output: Tensor,
}

/// What was watched.
#[derive(Debug, Default)]
pub struct Watched {
    /// How many attentions the pass had, in the order in which they were computed.
    pub layers: usize,
    /// The one that was asked for, where the pass had so many.
    pub seen: Option<Seen>,
}

thread_local! {
    /// Which attention is asked for, and what was seen so far, while a pass of this thread is watched.
    static WATCH: RefCell<Option<(usize, Watched)>> = const { RefCell::new(None) };
}

/// Ends the watch, also where the pass panics.
struct Over;

impl Drop for Over {
    fn drop(&mut self) {
        WATCH.set(None);
    }
}

/// Runs `pass` on this thread and watches its attention number `layer`, counted from 0.
pub fn watched<T>(layer: usize, pass: impl FnOnce() -> T) -> (T, Watched) {
    let _over = Over;
    WATCH.set(Some((layer, Watched::default())));
    let made = pass();
    let (_, watched) = WATCH.take().unwrap_or_default();
    (made, watched)
}

/// Whether this thread's pass is watched.
pub(super) fn is_on() -> bool {
    WATCH.with_borrow(Option::is_some)
}

/// Takes note of one attention, whose weights and values `how` computes where they are asked for.
pub(super) fn note(output: &Tensor, how: impl FnOnce() -> (Tensor, Tensor)) {
    WATCH.with_borrow_mut(|watch| {
        let Some((layer, watched)) = watch else { return };
        if watched.layers == *layer {
            let (weights, values) = how();
            watched.seen = Some(Seen { weights, values, output: output.shallow_clone() });
        }
        watched.layers += 1;
    });
}
