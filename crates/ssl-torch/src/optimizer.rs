//! Optimizer steps over lists of tensors, in one pass over memory.
//!
//! Each parameter has a master copy in fp32 and a leaf that the model computes with: the same tensor in fp32, or a copy in
//! bf16 that the step writes anew. Gradients are fp32 or bf16 and are multiplied by `scale` as they are read.

use tch::Tensor;

use crate::error::Result;
use crate::ffi::{check, handles, ssl_accumulate, ssl_adam, ssl_drop_grads, ssl_norm, ssl_set_grads, ssl_sgd};

/// What Adam and `AdamW` are told each step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Adam {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the mean of gradients.
    pub beta1: f64,
    /// Decay of the mean of squared gradients.
    pub beta2: f64,
    /// Keeps the division finite.
    pub eps: f64,
    /// The number of this step, from 1.
    pub step: i64,
    /// What gradients are multiplied by.
    pub scale: f64,
}

/// What gradient descent is told each step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sgd {
    /// Learning rate.
    pub lr: f64,
    /// Share of the last move that is kept.
    pub momentum: f64,
    /// Whether the gradient is taken after the momentum's move.
    pub nesterov: bool,
    /// What gradients are multiplied by.
    pub scale: f64,
}

/// The tensors of all parameters, in one order.
#[derive(Debug)]
pub struct Lists<'a> {
    /// Master weights, fp32.
    pub params: &'a [Tensor],
    /// The model's own copies; the masters themselves in fp32.
    pub leaves: &'a [Tensor],
    /// Gradients.
    pub grads: &'a [Tensor],
}

impl Lists<'_> {
    fn len(&self, others: &[usize]) -> i64 {
        let n = self.params.len();
        assert!(self.leaves.len() == n && self.grads.len() == n && others.iter().all(|&len| len == n), "lists of one length");
        n as i64
    }
}

/// The Euclidean norm of all gradients together; the same bits for any number of threads.
///
/// # Errors
/// When a gradient is neither fp32 nor bf16, or not contiguous.
pub fn norm(grads: &[Tensor]) -> Result<f64> {
    let mut norm = 0.0;
    if !grads.is_empty() {
        // SAFETY: the handles live as long as `grads`, and the result is written before the call returns.
        check(unsafe { ssl_norm(handles(grads).as_ptr(), grads.len() as i64, &raw mut norm) })?;
    }
    Ok(norm)
}

/// Forgets the gradients of leaves, so that the next backward pass hands over its own instead of adding to zeros.
///
/// # Errors
/// When a tensor cannot have a gradient.
pub fn drop_grads(leaves: &[Tensor]) -> Result<()> {
    // SAFETY: the handles live as long as `leaves`; a gradient that someone else still holds stays alive there.
    check(unsafe { ssl_drop_grads(handles(leaves).as_ptr(), leaves.len() as i64) })
}

/// Gives each leaf a gradient, in place of what it had.
///
/// # Errors
/// When one does not fit its leaf.
pub fn set_grads(leaves: &[Tensor], grads: &[Tensor]) -> Result<()> {
    assert_eq!(leaves.len(), grads.len(), "lists of one length");
    // SAFETY: the handles live as long as the slices; each leaf then holds its gradient on its own.
    check(unsafe { ssl_set_grads(handles(leaves).as_ptr(), handles(grads).as_ptr(), leaves.len() as i64) })
}

/// Adds gradients to fp32 sums.
///
/// # Errors
/// When sizes differ.
pub fn accumulate(sums: &[Tensor], grads: &[Tensor]) -> Result<()> {
    assert_eq!(sums.len(), grads.len(), "lists of one length");
    // SAFETY: the handles live as long as the slices.
    check(unsafe { ssl_accumulate(handles(sums).as_ptr(), handles(grads).as_ptr(), sums.len() as i64) })
}

/// One step of Adam with `decay` decoupled (`AdamW`) and `coupled` added to the gradient (L2), both a value per tensor.
///
/// Source: Kingma and Ba 2015, algorithm 1; Loshchilov and Hutter 2019, algorithm 2.
///
/// # Errors
/// When sizes, types or devices differ.
pub fn adam(lists: &Lists<'_>, means: &[Tensor], squares: &[Tensor], decay: &[f64], coupled: &[f64], a: &Adam) -> Result<()> {
    let n = lists.len(&[means.len(), squares.len(), decay.len(), coupled.len()]);
    // SAFETY: every list has n handles that live as long as the slices; C++ checks sizes and types.
    check(unsafe {
        ssl_adam(
            handles(lists.params).as_ptr(),
            handles(lists.leaves).as_ptr(),
            handles(lists.grads).as_ptr(),
            handles(means).as_ptr(),
            handles(squares).as_ptr(),
            decay.as_ptr(),
            coupled.as_ptr(),
            n,
            a.lr,
            a.beta1,
            a.beta2,
            a.eps,
            a.step,
            a.scale,
        )
    })
}

/// One step of stochastic gradient descent with momentum; `coupled` is the L2 decay per tensor.
///
/// Source: Sutskever et al. 2013, section 2, in PyTorch's form (the learning rate outside the velocity).
///
/// # Errors
/// When sizes, types or devices differ.
pub fn sgd(lists: &Lists<'_>, velocities: &[Tensor], coupled: &[f64], s: &Sgd) -> Result<()> {
    let n = lists.len(&[velocities.len(), coupled.len()]);
    // SAFETY: every list has n handles that live as long as the slices; C++ checks sizes and types.
    check(unsafe {
        ssl_sgd(
            handles(lists.params).as_ptr(),
            handles(lists.leaves).as_ptr(),
            handles(lists.grads).as_ptr(),
            handles(velocities).as_ptr(),
            coupled.as_ptr(),
            n,
            s.lr,
            s.momentum,
            i32::from(s.nesterov),
            s.scale,
        )
    })
}
