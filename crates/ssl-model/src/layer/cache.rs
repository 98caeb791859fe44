//! What a decoder has read: keys and values in tables that grow; and a step, which reads on in several texts side by side.
//!
//! In a step the pieces of all texts stand in one row, each as long as it is, so that embeddings, norms and linear maps see one
//! long row, and attention alone goes text by text, each to its own keys and values. Source: Yu et al. 2022, "Orca: a
//! distributed serving system for transformer-based generative models", section 4 (selective batching).

use std::cell::{Ref, RefCell};

use ssl_data::batch::Source;
use ssl_torch::kernels;
use tch::{Device, Kind, Tensor};

use super::attention::scale;
use super::{Attention, Mask, whole};

/// What a decoder has read so far, a layer each: of one text, or of rows in lockstep.
#[derive(Debug, Default)]
pub struct Cache {
    /// Per layer: keys and values, `[b, heads, room for tokens, head width]`, of which the first `tokens` are written; or a
    /// recurrent layer's two states.
    pub layers: Vec<Option<(Tensor, Tensor)>>,
    /// Per layer of a decoder with a source: the source's keys and values.
    pub source: Vec<(Tensor, Tensor)>,
    /// Which positions of the source are no padding, `[b, 1, 1, s]`.
    pub present: Option<Tensor>,
    /// Tokens read.
    pub tokens: i64,
    /// What the heads of later tokens start from, of a model that foretells several: the trunk's last piece, `[1, t, d]`.
    pub ahead: Option<Tensor>,
}

/// Tokens that a new table has room for.
const ROOM: i64 = 32;

impl Cache {
    /// An empty cache of a model with `layers` layers.
    #[must_use]
    pub fn new(layers: usize) -> Self {
        Self { layers: (0..layers).map(|_| None).collect(), ..Self::default() }
    }

    /// Keeps the rows that `index` names, in its order: what a beam search goes on with.
    pub fn select(&mut self, index: &Tensor) {
        let pick = |pair: &mut (Tensor, Tensor)| *pair = (pair.0.index_select(0, index), pair.1.index_select(0, index));
        self.layers.iter_mut().flatten().for_each(pick);
        self.source.iter_mut().for_each(pick);
        self.present = self.present.take().map(|present| present.index_select(0, index));
    }

    /// Another cache, as it was when only the first `tokens` tokens had been read: tables are copied, without spare room.
    ///
    /// # Panics
    /// When fewer were read.
    #[must_use]
    pub fn first(&self, tokens: i64) -> Self {
        let cut = |table: &Tensor| laid_out(&begun(table, tokens), tokens);
        let layers = self.layers.iter().map(|layer| layer.as_ref().map(|(k, v)| (cut(k), cut(v)))).collect();
        Self { layers, tokens, ahead: None, ..self.shared() }
    }

    /// A second handle to the same tensors.
    #[must_use]
    pub fn shared(&self) -> Self {
        let both = |(k, v): &(Tensor, Tensor)| (k.shallow_clone(), v.shallow_clone());
        Self {
            layers: self.layers.iter().map(|layer| layer.as_ref().map(both)).collect(),
            source: self.source.iter().map(both).collect(),
            present: self.present.as_ref().map(Tensor::shallow_clone),
            tokens: self.tokens,
            ahead: self.ahead.as_ref().map(Tensor::shallow_clone),
        }
    }

    /// Makes room in a layer's tables for the keys and values `[b, heads, t, head width]` of further tokens.
    fn reserve(&mut self, layer: usize, k: &Tensor, v: &Tensor, t: i64) {
        let (from, to) = (self.tokens, self.tokens + t);
        let grown = |table: &Tensor, room: i64| laid_out(&begun(table, from), room);
        let tables = match &self.layers[layer] {
            Some((keys, _)) if keys.size()[2] >= to => return,
            Some((keys, values)) => {
                let room = to.max(2 * keys.size()[2]);
                (grown(keys, room), grown(values, room))
            }
            None => (laid_out(&k.narrow(2, 0, 0), to.max(ROOM)), laid_out(&v.narrow(2, 0, 0), to.max(ROOM))),
        };
        self.layers[layer] = Some(tables);
    }

    /// Writes a layer's keys and values after those of the tokens read, and returns all so far: `[b, heads, tokens, head width]`.
    /// They count once `tokens` says so; a step that fails before is written over.
    fn extend(&mut self, layer: usize, k: &Tensor, v: &Tensor) -> (Tensor, Tensor) {
        let (from, t) = (self.tokens, k.size()[2]);
        self.reserve(layer, k, v, t);
        let (keys, values) = self.tables(layer);
        keys.narrow(2, from, t).copy_(k);
        values.narrow(2, from, t).copy_(v);
        (keys.narrow(2, 0, from + t), values.narrow(2, 0, from + t))
    }

    fn tables(&self, layer: usize) -> &(Tensor, Tensor) {
        self.layers[layer].as_ref().unwrap_or_else(|| panic!("layer {layer} has read nothing"))
    }
}

/// The first `tokens` of a table; a head that only drafts may have read fewer.
fn begun(table: &Tensor, tokens: i64) -> Tensor {
    table.narrow(2, 0, tokens.min(table.size()[2]))
}

/// A table with room for `room` tokens that begins with `x_bgse`; the tokens of a head lie side by side, as attention reads them.
fn laid_out(x_bgse: &Tensor, room: i64) -> Tensor {
    let (b, g, s, e) = x_bgse.size4().unwrap_or_default();
    let table = Tensor::empty([b, g, room, e], (x_bgse.kind(), x_bgse.device()));
    table.narrow(2, 0, s).copy_(x_bgse);
    table
}

/// A text, and what is to be read of it next.
#[derive(Debug)]
pub struct Piece<'a> {
    /// What has been read of it.
    pub cache: &'a mut Cache,
    /// What comes next; at least one token.
    pub tokens: &'a [u32],
    /// Of how many of these, counted from the last, the logits are wanted.
    pub wanted: usize,
}

/// What is read in one step.
#[derive(Debug)]
pub struct Step<'a> {
    /// Token ids, i64, `[b, t]`.
    pub ids: Tensor,
    /// Where they stand in their texts, i64, `[1, t]`.
    pub positions: Tensor,
    parts: Vec<Part<'a>>,
    /// The places among `b t` whose logits are wanted; absent where all are.
    wanted: Option<Tensor>,
}

/// The part of a step's columns that reads on in one cache.
#[derive(Debug)]
struct Part<'a> {
    /// Lent to one attention at a time, so that a block may hold the step for both of its attentions.
    cache: RefCell<&'a mut Cache>,
    t: i64,
    mask: Mask,
}

impl<'a> Part<'a> {
    fn new(cache: &'a mut Cache, t: i64, device: Device) -> Self {
        let mask = match cache.tokens {
            // One query sees all keys, and in a new text each sees as many as stand before it.
            from if from > 0 && t > 1 => {
                let seen = Tensor::ones([t, from + t], (Kind::Bool, device)).tril(from);
                Mask::Some(seen.unsqueeze(0).unsqueeze(0))
            }
            _ => Mask::Causal,
        };
        Self { cache: RefCell::new(cache), t, mask }
    }
}

impl<'a> Step<'a> {
    /// Rows in lockstep, `[b, t]`: of each the last position's logits are wanted.
    #[must_use]
    pub fn rows(tokens_bt: &Tensor, cache: &'a mut Cache) -> Self {
        let (b, t) = tokens_bt.size2().unwrap_or_default();
        let whole = (Kind::Int64, tokens_bt.device());
        let positions = Tensor::arange_start(cache.tokens, cache.tokens + t, whole).unsqueeze(0);
        let wanted = (t > 1).then(|| Tensor::arange_start_step(t - 1, b * t, t, whole));
        let parts = vec![Part::new(cache, t, tokens_bt.device())];
        Self { ids: tokens_bt.shallow_clone(), positions, parts, wanted }
    }

    /// Pieces of several texts, side by side in one row.
    #[must_use]
    pub fn pieces(pieces: &'a mut [Piece<'_>], device: Device) -> Self {
        let (mut ids, mut positions, mut wanted) = (Vec::new(), Vec::new(), Vec::new());
        for piece in pieces.iter() {
            ids.extend(piece.tokens.iter().map(|&id| i64::from(id)));
            positions.extend(piece.cache.tokens..piece.cache.tokens + piece.tokens.len() as i64);
            wanted.extend((ids.len() - piece.wanted.min(piece.tokens.len())..ids.len()).map(|at| at as i64));
        }
        let row = |data: &[i64]| Tensor::from_slice(data).to_device(device);
        Self {
            wanted: (wanted.len() < ids.len()).then(|| row(&wanted)),
            ids: row(&ids).unsqueeze(0),
            positions: row(&positions).unsqueeze(0),
            parts: pieces.iter_mut().map(|piece| Part::new(piece.cache, piece.tokens.len() as i64, device)).collect(),
        }
    }

    /// The last `count` tokens of a text once more, for layers that have not read them: those that stand at its end, of which the last one's
    /// logits are wanted.
    pub(crate) fn again(cache: &'a mut Cache, count: i64, device: Device) -> Self {
        cache.tokens -= count;
        let positions = Tensor::arange_start(cache.tokens, cache.tokens + count, (Kind::Int64, device)).unsqueeze(0);
        let wanted = (count > 1).then(|| Tensor::from_slice(&[count - 1]).to_device(device));
        Self { ids: positions.shallow_clone(), positions, parts: vec![Part::new(cache, count, device)], wanted }
    }

    /// Attention of `q_bhte` to what its texts have read and to `k_bgte`, `v_bgte`, which join it: `[b, t, h e]`.
    pub fn attend(&self, layer: usize, attention: Attention, q: &Tensor, k: &Tensor, v: &Tensor) -> Tensor {
        let single = q.size()[0] == 1;
        if !single || q.device() != Device::Cpu {
            return self.extended(layer, (q, k, v), |_, q, k, v, mask| attention.forward(q, k, v, mask, 0.0));
        }
        self.parts.iter().for_each(|part| part.cache.borrow_mut().reserve(layer, k, v, part.t));
        let caches: Vec<Ref<'_, &mut Cache>> = self.parts.iter().map(|part| part.cache.borrow()).collect();
        let texts = caches.iter().zip(&self.parts);
        let texts: Vec<kernels::Part<'_>> =
            texts.map(|(cache, part)| kernels::Part { tables: cache.tables(layer), from: cache.tokens, count: part.t }).collect();
        whole(kernels::attention_texts(q, k, v, &texts, scale(q.size()[3])))
    }

    /// The same of rows that one linear map made: the queries of all heads, then the keys, then the values.
    pub fn attend_packed(&self, layer: usize, attention: Attention, qkv_btp: &Tensor) -> Tensor {
        let (q, k, v) = attention.parts(qkv_btp);
        self.attend(layer, attention, &q, &k, &v)
    }

    /// The same by `read`, which is given the number of the piece, its queries, keys and values, and who sees whom.
    pub fn extended(
        &self,
        layer: usize,
        (q, k, v): (&Tensor, &Tensor, &Tensor),
        read: impl Fn(usize, &Tensor, &Tensor, &Tensor, &Mask) -> Tensor,
    ) -> Tensor {
        let mut from = 0;
        joined(self.parts.iter().enumerate().map(|(i, part)| {
            let cut = |x: &Tensor| x.narrow(2, from, part.t);
            let (keys, values) = part.cache.borrow_mut().extend(layer, &cut(k), &cut(v));
            let read = read(i, &cut(q), &keys, &values, &part.mask);
            from += part.t;
            read
        }))
    }

    /// Attention of `q_bhte` to the sources of its texts, by `read`, which is given the number of the piece, its queries, and
    /// the keys and values of its source.
    pub fn across(&self, layer: usize, q: &Tensor, read: impl Fn(usize, &Tensor, &Tensor, &Tensor) -> Tensor) -> Tensor {
        let mut from = 0;
        joined(self.parts.iter().enumerate().map(|(i, part)| {
            let (k, v) = &part.cache.borrow().source[layer];
            let read = read(i, &q.narrow(2, from, part.t), k, v);
            from += part.t;
            read
        }))
    }

    /// Of each piece: how many tokens its text has without it, and with it.
    pub fn spans(&self) -> impl Iterator<Item = (i64, i64)> {
        self.parts.iter().map(|part| {
            let from = part.cache.borrow().tokens;
            (from, from + part.t)
        })
    }

    /// The most tokens that any text has with its piece.
    #[must_use]
    pub fn longest(&self) -> i64 {
        self.spans().map(|(_, to)| to).max().unwrap_or(0)
    }

    /// Where each piece's source is no padding, `[b, 1, 1, s]`.
    ///
    /// # Panics
    /// When a cache has no source.
    pub fn sources(&self) -> impl Iterator<Item = Tensor> {
        self.parts.iter().map(|part| match &part.cache.borrow().present {
            Some(present) => present.shallow_clone(),
            None => panic!("this model writes from a source, and the cache has none"),
        })
    }

    /// Keeps each piece's part of `z_btd` beside its text.
    pub(crate) fn keep(&self, z_btd: &Tensor) {
        let mut from = 0;
        for part in &self.parts {
            part.cache.borrow_mut().ahead = Some(z_btd.narrow(1, from, part.t));
            from += part.t;
        }
    }

    /// Ends the step: the tokens count as read, and `head` makes logits of the wanted positions of `h_btd`, `[n, d]` to `[n, v]`.
    pub fn finish(self, h_btd: &Tensor, head: impl FnOnce(&Tensor) -> Tensor) -> Tensor {
        let h_nd = h_btd.view([-1, h_btd.size().last().copied().unwrap_or(1)]);
        let logits = head(&self.wanted.map_or_else(|| h_nd.shallow_clone(), |wanted| h_nd.index_select(0, &wanted)));
        for part in self.parts {
            part.cache.into_inner().tokens += part.t;
        }
        logits
    }
}

/// Pieces side by side again, along the second axis.
fn joined(pieces: impl Iterator<Item = Tensor>) -> Tensor {
    let mut pieces: Vec<Tensor> = pieces.collect();
    if pieces.len() == 1 { pieces.swap_remove(0) } else { Tensor::cat(&pieces, 1) }
}

/// Reads pieces one after the other with `next`, for models that do not read them at once; `next` takes any number of tokens. All
/// caches move together: a fault leaves every one as it was.
pub(crate) fn one_by_one(pieces: &mut [Piece<'_>], next: impl Fn(&Tensor, &mut Cache) -> Tensor, device: Device) -> Tensor {
    let mut logits = Vec::new();
    let mut caches: Vec<Cache> = pieces.iter().map(|piece| piece.cache.shared()).collect();
    for (piece, cache) in pieces.iter().zip(&mut caches) {
        let row = |ids: &[u32]| {
            let ids: Vec<i64> = ids.iter().map(|&id| i64::from(id)).collect();
            Tensor::from_slice(&ids).unsqueeze(0).to_device(device)
        };
        let alone = piece.tokens.len().saturating_sub(piece.wanted.max(1));
        // What stands before the first wanted position is read at once, the rest token by token.
        let (before, after) = piece.tokens.split_at(alone);
        let chunks = (!before.is_empty()).then_some(before).into_iter().chain(after.chunks(1));
        let read: Vec<Tensor> = chunks.map(|chunk| next(&row(chunk), cache)).collect();
        logits.extend(read.into_iter().rev().take(piece.wanted).rev());
    }
    for (piece, cache) in pieces.iter_mut().zip(caches) {
        *piece.cache = cache;
    }
    if logits.is_empty() { Tensor::zeros([0, 1], (Kind::Float, device)) } else { Tensor::cat(&logits, 0) }
}

/// The source of one text, as a batch has it.
#[must_use]
pub fn source_of(ids: &[u32], device: Device) -> Source<Tensor> {
    let ids: Vec<i64> = ids.iter().map(|&id| i64::from(id)).collect();
    let ids = Tensor::from_slice(&ids).unsqueeze(0).to_device(device);
    Source { present: ids.ones_like(), ids }
}
