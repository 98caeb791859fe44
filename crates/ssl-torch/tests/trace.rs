//! Traces: what was run is in the file, by name.

use std::path::Path;

use ssl_torch::trace::{Trace, range};
use ssl_torch::{Error, guard};
use tch::{Device, Kind, Tensor};

#[test]
fn a_trace_names_operations_their_backward_passes_and_our_ranges() {
    let path = std::env::temp_dir().join(format!("ssl-trace-{}.json", std::process::id()));
    let work = || {
        let w = Tensor::ones([8, 8], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        range("forward and backward", || w.mm(&w).sum(Kind::Float).backward());
    };
    work();
    let trace = Trace::start(Device::Cpu).expect("a trace");
    work();
    let fault = guard(|| range("it fails", || panic!("inside"))).expect_err("a panic");
    assert!(fault.to_string().contains("inside"), "{fault}");
    Trace::start(Device::Cpu).expect_err("one runs already");
    trace.save(&path).expect("a file");
    let text = std::fs::read_to_string(&path).expect("a file");
    std::fs::remove_file(&path).expect("a file");
    for name in ["traceEvents", "\"forward and backward\"", "\"it fails\"", "\"aten::mm\"", "MmBackward0"] {
        assert!(text.contains(name), "no {name}");
    }
    assert_eq!(text.matches("\"forward and backward\"").count(), 1, "only what ran while it recorded");

    drop(Trace::start(Device::Cpu).expect("the last one is over"));
    let trace = Trace::start(Device::Cpu).expect("thrown away is over too");
    let fault = trace.save(Path::new("/no/such/folder/trace.json")).expect_err("no folder");
    assert!(matches!(fault, Error::Trace { .. }), "{fault}");
    drop(Trace::start(Device::Cpu).expect("a failed save ends it"));
}
