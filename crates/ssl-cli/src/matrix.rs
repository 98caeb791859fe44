//! The matrix rate of a machine: the ceiling that training is measured against.

use std::time::{Duration, Instant};

use tch::{Device, Kind, Tensor};

/// The smallest product, and a length of time within which a larger one is tried.
const SIZE: i64 = 1024;
const SHORT: Duration = Duration::from_millis(2);
/// Measuring ends after about so long, and never before the third product.
const BUDGET: Duration = Duration::from_millis(250);
const LEAST: u32 = 3;

/// The best matrix rate in a type, operations a second.
///
/// Square products, doubled in size until one takes some milliseconds, so that a fast device is not measured by how quickly
/// it is asked; the best of all of them counts, so that the first, which warms up, does not.
pub(crate) fn matrix_rate(device: Device, kind: Kind) -> f64 {
    let begun = Instant::now();
    let mut best = 0.0_f64;
    tch::no_grad(|| {
        let mut n = SIZE;
        let mut a = matrix(n, device, kind);
        let mut done = 0;
        while done < LEAST || begun.elapsed() < BUDGET {
            let start = Instant::now();
            let c = a.mm(&a);
            // Reading one number waits for a device to finish.
            let _ = c.double_value(&[0, 0]);
            let took = start.elapsed();
            best = best.max(2.0 * (n as f64).powi(3) / took.as_secs_f64());
            done += 1;
            if took < SHORT && done > 1 {
                n *= 2;
                a = matrix(n, device, kind);
                done = 0;
            }
        }
    });
    best
}

/// Numbers that differ, which some devices multiply more slowly than equal ones; no generator is drawn from.
fn matrix(n: i64, device: Device, kind: Kind) -> Tensor {
    Tensor::arange(n * n, (Kind::Float, device)).sin().view([n, n]).to_kind(kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_measured_and_soon() {
        let start = Instant::now();
        let rate = matrix_rate(Device::Cpu, Kind::Float);
        // The slowest machine at hand does a billion operations a second; a generous bound on time, for a busy one.
        assert!(rate > 1e8 && rate.is_finite(), "{rate}");
        assert!(start.elapsed() < Duration::from_mins(1));
    }
}
