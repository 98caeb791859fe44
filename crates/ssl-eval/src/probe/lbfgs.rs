//! The least value of a smooth function, from gradients and a memory of the last steps.
//!
//! Source: Nocedal and Wright 2006, "Numerical optimization", algorithms 7.4 (two loops), 7.5 and 3.1 (steps are halved until they
//! gain enough, which suffices for a convex function).

/// Steps remembered.
const MEMORY: usize = 10;
/// The share of what a gradient foretells that a step has to gain.
const ENOUGH: f64 = 1e-4;
/// Values nearer than this, by their size, are alike: differences below are rounding.
const ROUNDING: f64 = 1e-15;

/// A step and what it changed.
struct Step {
    /// Of the place.
    s: Vec<f64>,
    /// Of the gradient.
    y: Vec<f64>,
    /// Their product, greater than 0.
    sy: f64,
}

/// Where a search ended.
#[derive(Debug)]
pub(super) struct Minimum {
    /// The place.
    pub(super) at: Vec<f64>,
    /// Whether no part of the gradient is greater than was asked.
    pub(super) converged: bool,
}

/// Goes down from `at`. `f` writes the gradient and returns the value; the search ends when no part of the gradient is greater
/// than `tolerance`, when nothing is gained any more, or after `most` steps.
pub(super) fn minimise(at: Vec<f64>, f: &dyn Fn(&[f64], &mut [f64]) -> f64, tolerance: f64, most: usize) -> Minimum {
    let mut x = at;
    let mut gradient = vec![0.0; x.len()];
    let mut value = f(&x, &mut gradient);
    let mut memory: Vec<Step> = Vec::new();
    for _ in 0..most {
        if gradient.iter().all(|part| part.abs() <= tolerance) {
            break;
        }
        let mut direction = descent(&gradient, &memory);
        let mut slope = product(&direction, &gradient);
        if slope >= 0.0 {
            // Rounding has spoilt the memory.
            memory.clear();
            direction = gradient.iter().map(|part| -part).collect();
            slope = product(&direction, &gradient);
        }
        // Nothing is known of the scale before the first step.
        let mut step = if memory.is_empty() { (1.0 / slope.abs().sqrt()).min(1.0) } else { 1.0 };
        let (mut next, mut next_gradient) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        let mut next_value = f64::INFINITY;
        let gains = |value_there: f64, step: f64| value_there <= value + ENOUGH * step * slope + ROUNDING * value.abs();
        for _ in 0..60 {
            for ((next, x), direction) in next.iter_mut().zip(&x).zip(&direction) {
                *next = x + step * direction;
            }
            next_value = f(&next, &mut next_gradient);
            if gains(next_value, step) {
                break;
            }
            step /= 2.0;
        }
        if !gains(next_value, step) || next == x {
            break;
        }
        let s: Vec<f64> = next.iter().zip(&x).map(|(next, x)| next - x).collect();
        let y: Vec<f64> = next_gradient.iter().zip(&gradient).map(|(next, gradient)| next - gradient).collect();
        let sy = product(&s, &y);
        if sy > 0.0 {
            if memory.len() == MEMORY {
                memory.remove(0);
            }
            memory.push(Step { s, y, sy });
        }
        (x, gradient, value) = (next, next_gradient, next_value);
    }
    let converged = gradient.iter().all(|part| part.abs() <= tolerance);
    Minimum { at: x, converged }
}

/// The direction `-H g`, with `H` the inverse curvature that the memory tells.
fn descent(gradient: &[f64], memory: &[Step]) -> Vec<f64> {
    let mut q: Vec<f64> = gradient.iter().map(|part| -part).collect();
    let add = |q: &mut [f64], factor: f64, of: &[f64]| q.iter_mut().zip(of).for_each(|(q, of)| *q += factor * of);
    let mut factors = Vec::with_capacity(memory.len());
    for Step { s, y, sy } in memory.iter().rev() {
        let factor = product(s, &q) / sy;
        add(&mut q, -factor, y);
        factors.push(factor);
    }
    if let Some(Step { y, sy, .. }) = memory.last() {
        let scale = sy / product(y, y);
        for part in &mut q {
            *part *= scale;
        }
    }
    for (Step { s, y, sy }, factor) in memory.iter().zip(factors.into_iter().rev()) {
        let back = product(y, &q) / sy;
        add(&mut q, factor - back, s);
    }
    q
}

fn product(a: &[f64], b: &[f64]) -> f64 {
    super::dot(a, b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_valley_is_walked_to_its_end() {
        // Curvatures from 1 to 10 000, turned against the axes.
        let f = |x: &[f64], gradient: &mut [f64]| {
            let (u, v) = (x[0] + x[1] - 3.0, x[0] - x[1] + 1.0);
            gradient[0] = u + 1e4 * v;
            gradient[1] = u - 1e4 * v;
            0.5 * (u * u + 1e4 * v * v)
        };
        let found = minimise(vec![40.0, -7.0], &f, 1e-9, 200);
        assert!(found.converged, "{found:?}");
        assert!((found.at[0] - 1.0).abs() < 1e-9 && (found.at[1] - 2.0).abs() < 1e-9, "{found:?}");
    }

    #[test]
    fn a_function_that_is_no_square_is_solved_in_few_steps() {
        // The softplus has its curvature where it is least; the minimum of log(1 + e^x) - 0.3 x is at the logit of 0.3.
        let steps = std::cell::Cell::new(0);
        let f = |x: &[f64], gradient: &mut [f64]| {
            steps.set(steps.get() + 1);
            gradient[0] = 1.0 / (1.0 + (-x[0]).exp()) - 0.3;
            x[0].exp().ln_1p() - 0.3 * x[0]
        };
        let found = minimise(vec![5.0], &f, 1e-12, 100);
        assert!(found.converged && (found.at[0] - (0.3_f64 / 0.7).ln()).abs() < 1e-10, "{found:?}");
        assert!(steps.get() < 30, "{steps:?}");
    }

    #[test]
    fn too_few_steps_are_told() {
        let f = |x: &[f64], gradient: &mut [f64]| {
            gradient[0] = 4.0 * x[0].powi(3);
            x[0].powi(4)
        };
        assert!(!minimise(vec![3.0], &f, 1e-9, 2).converged);
    }
}
