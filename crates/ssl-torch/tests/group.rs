//! Ranks that meet, compute together, and lose each other: threads where a thread is enough, processes where one must die.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use ssl_torch::Error;
use ssl_torch::group::{Group, GroupFault, Seat, Store};
use tch::{Device, Kind, Tensor};

const LONG: Duration = Duration::from_mins(1);
const SHORT: Duration = Duration::from_secs(1);

fn join(path: &Path, rank: u32, world: u32, timeout: Duration) -> ssl_torch::Result<Group> {
    Group::join(Store::file(path, Seat { rank, world }, timeout)?, None)
}

/// Runs `work` on `world` ranks, a thread each.
fn ranks(world: u32, timeout: Duration, work: impl Fn(Group) + Sync) {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("store");
    thread::scope(|scope| {
        for rank in 0..world {
            let (path, work) = (&path, &work);
            scope.spawn(move || work(join(path, rank, world, timeout).expect("a group")));
        }
    });
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    tensor.to_kind(Kind::Double).try_into().expect("a vector")
}

fn fault(result: ssl_torch::Result<()>) -> GroupFault {
    match result {
        Err(Error::Group { fault, .. }) => fault,
        other => panic!("a fault of the group was expected, not {other:?}"),
    }
}

#[test]
fn collectives_do_what_they_say() {
    ranks(3, LONG, |group| {
        let rank = f64::from(group.seat().rank);
        for kind in [Kind::Float, Kind::BFloat16, Kind::Double] {
            let sum = Tensor::from_slice(&[rank, 10.0 * rank]).to_kind(kind);
            group.all_reduce(&sum).and_then(ssl_torch::group::Work::wait).expect("a sum");
            assert_eq!(numbers(&sum), [3.0, 30.0]);
        }
        let one = Tensor::from_slice(&[rank]);
        group.reduce(&one, 1).and_then(ssl_torch::group::Work::wait).expect("a sum");
        assert!(rank != 1.0 || numbers(&one) == [3.0]);

        let told = Tensor::from_slice(&[rank]);
        group.broadcast(&told, 2).and_then(ssl_torch::group::Work::wait).expect("a broadcast");
        assert_eq!(numbers(&told), [2.0]);

        let (all, own) = (Tensor::zeros([6], (Kind::Double, Device::Cpu)), Tensor::from_slice(&[rank, rank]));
        group.all_gather(&all, &own).and_then(ssl_torch::group::Work::wait).expect("a gathering");
        assert_eq!(numbers(&all), [0.0, 0.0, 1.0, 1.0, 2.0, 2.0]);

        let (part, whole) = (Tensor::zeros([1], (Kind::Double, Device::Cpu)), Tensor::from_slice(&[1.0, 2.0, rank]));
        group.reduce_scatter(&part, &whole).and_then(ssl_torch::group::Work::wait).expect("a scattered sum");
        assert_eq!(numbers(&part), [[3.0, 6.0, 3.0][rank as usize]]);

        let (to, from) = ((rank as u32 + 1) % 3, (rank as u32 + 2) % 3);
        let (out, into) = (Tensor::from_slice(&[rank]), Tensor::from_slice(&[-1.0]));
        let sent = group.send(&out, to).expect("sending");
        group.receive(&into, from).and_then(ssl_torch::group::Work::wait).expect("receiving");
        sent.wait().expect("sent");
        assert_eq!(numbers(&into), [f64::from(from)]);
        group.barrier().and_then(ssl_torch::group::Work::wait).expect("all are here");
    });
}

#[test]
fn collectives_overlap_and_end_when_they_are_dropped() {
    ranks(2, LONG, |group| {
        let tensors: Vec<Tensor> = (0..8).map(|i| Tensor::ones([100_000 + i], (Kind::Float, Device::Cpu))).collect();
        let mut works: Vec<_> = tensors.iter().map(|tensor| group.all_reduce(tensor).expect("begun")).collect();
        let kept = works.split_off(4);
        drop(works);
        assert!(tensors[..4].iter().all(|tensor| tensor.min().double_value(&[]) == 2.0), "dropping waits");
        for work in kept {
            work.wait().expect("a sum");
        }
        assert!(tensors.iter().all(|tensor| tensor.min().double_value(&[]) == 2.0));
    });
}

#[test]
fn a_tensor_that_does_not_fit_is_refused_and_the_group_goes_on() {
    ranks(2, LONG, |group| {
        let (small, own) = (Tensor::zeros([3], (Kind::Float, Device::Cpu)), Tensor::zeros([2], (Kind::Float, Device::Cpu)));
        let refused = fault(group.all_gather(&small, &own).map(drop));
        assert!(matches!(refused, GroupFault::Refused { .. }), "{refused}");
        group.all_reduce(&own).and_then(ssl_torch::group::Work::wait).expect("a sum");
    });
}

#[test]
fn a_rank_that_never_arrives_is_named() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("store");
    let start = Instant::now();
    thread::scope(|scope| {
        for rank in [0, 2] {
            let path = &path;
            scope.spawn(move || {
                let missing = fault(join(path, rank, 3, SHORT).map(drop));
                assert_eq!(missing, GroupFault::Absent { missing: 1, seconds: 1.0 });
            });
        }
    });
    assert!(start.elapsed() < 3 * SHORT, "{:?}", start.elapsed());
}

#[test]
fn a_place_where_nobody_serves_and_one_that_is_taken_are_told() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let serve = |port| Store::tcp("127.0.0.1", port, true, Seat { rank: 0, world: 2 }, SHORT).map(drop);
    let GroupFault::NoStore { message, .. } = fault(serve(port)) else { panic!("the port is taken") };
    assert!(message.contains("EADDRINUSE") && !message.contains('\n'), "{message}");
    drop(taken);
    let start = Instant::now();
    let nobody = Store::tcp("127.0.0.1", port, false, Seat { rank: 1, world: 2 }, SHORT).map(drop);
    assert!(matches!(fault(nobody), GroupFault::NoStore { .. }));
    assert!(start.elapsed() < 5 * SHORT, "{:?}", start.elapsed());
    serve(port).expect("the port is free again");
}

#[test]
fn texts_in_a_store_are_seen_by_all() {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
    let store = |rank| Store::tcp("127.0.0.1", free, rank == 0, Seat { rank, world: 2 }, LONG).expect("a store");
    let (server, guest) = (store(0), store(1));
    assert_eq!(guest.get("word").expect("an answer"), None);
    // Nobody answers to a text that is put there, so the others may ask before it has come; who put it asks behind it.
    let put = |store: &Store, text: &str| {
        store.set("word", text).expect("room");
        assert_eq!(store.get("word").expect("an answer").as_deref(), Some(text));
    };
    put(&server, "a b");
    assert_eq!(guest.get("word").expect("an answer").as_deref(), Some("a b"));
    let (again, there) = (guest.within("again").expect("a name"), server.within("again").expect("a name"));
    assert_eq!(again.get("word").expect("an answer"), None, "another attempt begins anew");
    put(&again, "c");
    assert_eq!(there.get("word").expect("an answer").as_deref(), Some("c"));
}

#[test]
fn a_rank_that_is_late_ends_the_wait_and_the_group() {
    ranks(2, SHORT, |group| {
        let tensor = Tensor::from_slice(&[1.0_f32]);
        if group.seat().rank == 1 {
            thread::sleep(3 * SHORT);
            return;
        }
        let start = Instant::now();
        let late = fault(group.all_reduce(&tensor).and_then(ssl_torch::group::Work::wait));
        assert!(matches!(late, GroupFault::TimedOut { .. }), "{late}");
        assert!((SHORT..2 * SHORT).contains(&start.elapsed()), "{:?}", start.elapsed());
        let again = Instant::now();
        let broken = fault(group.all_reduce(&tensor).map(drop));
        assert!(matches!(broken, GroupFault::Broken { .. }) && again.elapsed() < SHORT / 4, "{broken}");
    });
}

/// The child half of the tests below: joins, and is there.
#[test]
fn child() {
    if let Some(path) = std::env::var_os("SSL_TEST_GROUP") {
        let group = join(Path::new(&path), 1, 2, LONG).expect("a group");
        group.barrier().and_then(ssl_torch::group::Work::wait).expect("both are here");
        thread::sleep(LONG);
    }
}

/// A group of this process and another one that does nothing more.
fn beside(path: &Path, timeout: Duration) -> (Group, Child) {
    let child = Command::new(std::env::current_exe().expect("a path"))
        .args(["child", "--exact", "--nocapture"])
        .env("SSL_TEST_GROUP", path)
        .spawn()
        .expect("it starts");
    let group = join(path, 0, 2, timeout).expect("a group");
    group.barrier().and_then(ssl_torch::group::Work::wait).expect("both are here");
    (group, child)
}

#[test]
fn a_rank_that_is_killed_is_noticed_at_once() {
    let dir = tempfile::tempdir().expect("a folder");
    let (group, mut child) = beside(&dir.path().join("store"), LONG);
    let work = group.all_reduce(&Tensor::from_slice(&[1.0_f32])).expect("begun");
    child.kill().expect("kill -9");
    child.wait().expect("an end");
    let start = Instant::now();
    let lost = fault(work.wait());
    assert!(matches!(lost, GroupFault::Lost { .. }), "{lost}");
    assert!(start.elapsed() < SHORT, "{:?}", start.elapsed());
    assert!(matches!(fault(group.barrier().map(drop)), GroupFault::Broken { .. }));
}

#[test]
fn a_rank_that_is_stopped_is_given_up_after_the_timeout() {
    let dir = tempfile::tempdir().expect("a folder");
    let (group, mut child) = beside(&dir.path().join("store"), 2 * SHORT);
    let sent = Command::new("kill").args(["-STOP", &child.id().to_string()]).status().expect("kill");
    assert!(sent.success());
    let start = Instant::now();
    let late = fault(group.all_reduce(&Tensor::from_slice(&[1.0_f32])).and_then(ssl_torch::group::Work::wait));
    child.kill().expect("kill -9");
    child.wait().expect("an end");
    assert!(matches!(late, GroupFault::TimedOut { .. }), "{late}");
    assert!(start.elapsed() < 4 * SHORT, "{:?}", start.elapsed());
}
