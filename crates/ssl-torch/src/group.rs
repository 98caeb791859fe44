//! Processes that compute together: a store where they meet, and collectives between them, over libtorch's c10d: Gloo for tensors on the
//! CPU, and NCCL for those on CUDA devices.
//!
//! Every wait ends: by the group's timeout at the latest, with an error that says what happened. After one, the group is
//! broken for good and every further call says so at once, because nobody knows which ranks got how far.

mod fault;
mod ffi;

use std::ffi::{CString, c_int, c_void};
use std::net::{ToSocketAddrs, UdpSocket};
use std::path::Path;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use tch::{Device, Kind, Tensor};

pub use self::fault::{GroupFault, Seat};
use crate::error::{Error, Result};
use crate::ffi::{check, handle};

/// What NCCL's ranks recognise each other by.
const ID_BYTES: i64 = 128;
/// How often an absent key is asked for.
const POLL: Duration = Duration::from_millis(20);

/// A store of short texts that all ranks see, where they meet.
#[derive(Debug)]
pub struct Store {
    raw: *mut c_void,
    seat: Seat,
    /// Where the store is, for messages.
    address: String,
    /// The address that this process is reached at from where the store is.
    own: Option<String>,
    timeout: Duration,
}

// SAFETY: c10d's stores lock themselves, and this one is not changed after it was made.
unsafe impl Send for Store {}
// SAFETY: as above.
unsafe impl Sync for Store {}

impl Store {
    /// The store at `host` and `port`; the one process that `serves` it must live as long as the others need it. Waits up to
    /// `timeout` for the server.
    ///
    /// # Errors
    /// When the port is taken, or nobody answers.
    pub fn tcp(host: &str, port: u16, serves: bool, seat: Seat, timeout: Duration) -> Result<Self> {
        let address = format!("{host}:{port}");
        let mut raw = ptr::null_mut();
        let name = text(host, seat)?;
        // SAFETY: the name lives through the call, which writes a new store or nothing.
        let made = check(unsafe { ffi::ssl_store_tcp(name.as_ptr(), port, c_int::from(serves), millis(timeout), &raw mut raw) });
        made.map_err(|fault| no_store(&address, &fault, seat))?;
        Ok(Self { raw, seat, address, own: reached_from(host, port), timeout })
    }

    /// A store in a file that does not exist yet, for processes of one machine.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn file(path: &Path, seat: Seat, timeout: Duration) -> Result<Self> {
        let address = path.display().to_string();
        let mut raw = ptr::null_mut();
        let name = text(&address, seat)?;
        // SAFETY: the name lives through the call, which writes a new store or nothing.
        let made = check(unsafe { ffi::ssl_store_file(name.as_ptr(), seat.world as c_int, millis(timeout), &raw mut raw) });
        made.map_err(|fault| no_store(&address, &fault, seat))?;
        Ok(Self { raw, seat, address, own: Some("127.0.0.1".into()), timeout })
    }

    /// The same store with names of its own: for another attempt, say, under a server that lives on.
    ///
    /// # Errors
    /// When `name` has a NUL in it.
    pub fn within(&self, name: &str) -> Result<Self> {
        let mut raw = ptr::null_mut();
        let name = text(name, self.seat)?;
        // SAFETY: both live through the call; the new store holds the old one.
        check(unsafe { ffi::ssl_store_within(self.raw, name.as_ptr(), &raw mut raw) })?;
        Ok(Self { raw, seat: self.seat, address: self.address.clone(), own: self.own.clone(), timeout: self.timeout })
    }

    /// Sets a key, for all to see: for this store's own [`Self::get`] at once, for those of others soon, as nobody answers to it.
    ///
    /// # Errors
    /// When the server is gone.
    pub fn set(&self, key: &str, value: &str) -> Result<()> {
        let (key, value) = (text(key, self.seat)?, text(value, self.seat)?);
        // SAFETY: all three live through the call.
        self.told(check(unsafe { ffi::ssl_store_set(self.raw, key.as_ptr(), value.as_ptr()) }))
    }

    /// The value of a key, where somebody has set it.
    ///
    /// # Errors
    /// When the server is gone.
    pub fn get(&self, key: &str) -> Result<Option<String>> {
        let key = text(key, self.seat)?;
        let mut has = 0;
        // SAFETY: the key lives through the call, which writes one number.
        self.told(check(unsafe { ffi::ssl_store_has(self.raw, key.as_ptr(), &raw mut has) }))?;
        if has == 0 {
            return Ok(None);
        }
        let mut value = vec![0; 4096];
        let mut length = 0;
        // SAFETY: no more is written than there is room for.
        let got = unsafe { ffi::ssl_store_get(self.raw, key.as_ptr(), value.as_mut_ptr(), 4096, &raw mut length) };
        self.told(check(got))?;
        value.truncate(length as usize);
        Ok(Some(String::from_utf8_lossy(&value).into_owned()))
    }

    fn told<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|fault| no_store(&self.address, &fault, self.seat))
    }

    /// Waits until every rank has been here, so that one that is missing can be named.
    fn roll_call(&self) -> Result<()> {
        let start = Instant::now();
        self.set(&format!("here/{}", self.seat.rank), "")?;
        for missing in 0..self.seat.world {
            while self.get(&format!("here/{missing}"))?.is_none() {
                if start.elapsed() >= self.timeout {
                    return Err(GroupFault::Absent { missing, seconds: self.timeout.as_secs_f64() }.at(self.seat));
                }
                sleep(POLL);
            }
        }
        Ok(())
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // SAFETY: made by `ssl_store_*`, freed once; groups hold the store on their own.
        unsafe { ffi::ssl_store_free(self.raw) }
    }
}

/// Processes that have met. Clones are the same group.
#[derive(Debug, Clone)]
pub struct Group(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    raw: *mut c_void,
    seat: Seat,
    timeout: Duration,
    broken: AtomicBool,
    /// Kept for the ranks that it serves.
    _store: Option<Store>,
}

// SAFETY: c10d's groups lock themselves, and what they share in a process is locked in group.cpp: collectives may be begun and waited
// for on any thread.
unsafe impl Send for Inner {}
// SAFETY: as above.
unsafe impl Sync for Inner {}

impl Group {
    /// Meets the other ranks at a store and connects to each of them over Gloo, through the network interface of that name,
    /// or else the one that leads to the store.
    ///
    /// # Errors
    /// When a rank does not arrive within the store's timeout, or no connection comes about.
    pub fn join(store: Store, interface: Option<&str>) -> Result<Self> {
        let (seat, timeout, address) = (store.seat, store.timeout, store.address.clone());
        let interface = interface.map(str::to_owned);
        let (sender, receiver) = channel();
        // c10d waits without end for an answer of a server that is stopped; a thread does that in our place.
        thread::spawn(move || sender.send(Self::meet(store, interface.as_deref())));
        let silent = |_| GroupFault::NoStore { address, message: "it does not answer".into() }.at(seat);
        receiver.recv_timeout(2 * timeout + POLL).map_err(silent)?
    }

    fn meet(store: Store, interface: Option<&str>) -> Result<Self> {
        store.roll_call()?;
        let (seat, timeout) = (store.seat, store.timeout);
        let own = text(store.own.as_deref().unwrap_or("127.0.0.1"), seat)?;
        let named = interface.map(|name| text(name, seat)).transpose()?;
        let host = if named.is_some() { ptr::null() } else { own.as_ptr() };
        let interface = named.as_ref().map_or(ptr::null(), |name| name.as_ptr());
        let mut raw = ptr::null_mut();
        // SAFETY: every pointer lives through the call, and one of the two names is not null.
        let made = check(unsafe {
            let (rank, world) = (seat.rank as c_int, seat.world as c_int);
            ffi::ssl_group_gloo(store.raw, rank, world, millis(timeout), host, interface, &raw mut raw)
        });
        made.map_err(|fault| GroupFault::NoConnection { message: words(&fault) }.at(seat))?;
        Ok(Self(Arc::new(Inner { raw, seat, timeout, broken: AtomicBool::new(false), _store: Some(store) })))
    }

    /// The same ranks, connected from device to device: for tensors on `device`, of which each rank has its own. On the CPU it
    /// is this group. All ranks call it together.
    ///
    /// # Errors
    /// When NCCL is not there or finds no way, or another rank is late or gone.
    pub fn on(&self, device: Device) -> Result<Self> {
        let Device::Cuda(number) = device else { return Ok(self.clone()) };
        let Inner { seat, timeout, .. } = *self.0;
        let id = Tensor::zeros([ID_BYTES], (Kind::Uint8, Device::Cpu));
        let failed = |fault: Error| GroupFault::NoConnection { message: words(&fault) }.at(seat);
        if seat.rank == 0 {
            // SAFETY: the handle lives through the call, which fills what it points to.
            check(unsafe { ffi::ssl_nccl_id(handle(&id)) }).map_err(failed)?;
        }
        self.broadcast(&id, 0)?.wait()?;
        let mut raw = ptr::null_mut();
        let number = c_int::try_from(number).unwrap_or(c_int::MAX);
        // SAFETY: the handle lives through the call, which writes a new group or nothing.
        let made = check(unsafe {
            ffi::ssl_group_nccl(handle(&id), seat.rank as c_int, seat.world as c_int, millis(timeout), number, &raw mut raw)
        });
        made.map_err(failed)?;
        Ok(Self(Arc::new(Inner { raw, seat, timeout, broken: AtomicBool::new(false), _store: None })))
    }

    /// Which of how many this process is.
    #[must_use]
    pub fn seat(&self) -> Seat {
        self.0.seat
    }

    /// Begins to add up `tensor` over all ranks, in place; the same bits on every rank.
    ///
    /// # Errors
    /// When the tensor cannot be sent, or the group is broken.
    pub fn all_reduce(&self, tensor: &Tensor) -> Result<Work> {
        // SAFETY: the handle lives through the call; c10d holds the tensor from then on.
        self.begin("a sum over ranks", tensor, |raw, work| unsafe { ffi::ssl_group_all_reduce(raw, handle(tensor), work) })
    }

    /// Begins to add up `tensor` over all ranks into that of rank `root`; what the others' hold afterwards is of no use.
    ///
    /// # Errors
    /// As [`Self::all_reduce`].
    pub fn reduce(&self, tensor: &Tensor, root: u32) -> Result<Work> {
        let root = root as c_int;
        // SAFETY: as in `all_reduce`.
        self.begin("a sum to one rank", tensor, |raw, work| unsafe { ffi::ssl_group_reduce(raw, handle(tensor), root, work) })
    }

    /// Begins to give everybody the `tensor` of rank `root`.
    ///
    /// # Errors
    /// As [`Self::all_reduce`].
    pub fn broadcast(&self, tensor: &Tensor, root: u32) -> Result<Work> {
        let root = root as c_int;
        // SAFETY: as in `all_reduce`.
        self.begin("a broadcast", tensor, |raw, work| unsafe { ffi::ssl_group_broadcast(raw, handle(tensor), root, work) })
    }

    /// Begins to put every rank's `own` behind each other into `all`, which has room for them.
    ///
    /// # Errors
    /// As [`Self::all_reduce`], and when sizes do not fit.
    pub fn all_gather(&self, all: &Tensor, own: &Tensor) -> Result<Work> {
        // SAFETY: as in `all_reduce`; C++ checks the sizes.
        self.begin("a gathering", all, |raw, work| unsafe { ffi::ssl_group_all_gather(raw, handle(all), handle(own), work) })
    }

    /// Begins to add up `all` over ranks and to leave each its part of the sum in `own`.
    ///
    /// # Errors
    /// As [`Self::all_gather`].
    pub fn reduce_scatter(&self, own: &Tensor, all: &Tensor) -> Result<Work> {
        // SAFETY: as in `all_reduce`; C++ checks the sizes.
        self.begin("a scattered sum", own, |raw, work| unsafe {
            ffi::ssl_group_reduce_scatter(raw, handle(own), handle(all), work)
        })
    }

    /// Begins to send `tensor` to one rank, which receives it into one of the same size.
    ///
    /// # Errors
    /// As [`Self::all_reduce`].
    pub fn send(&self, tensor: &Tensor, to: u32) -> Result<Work> {
        let to = to as c_int;
        // SAFETY: as in `all_reduce`.
        self.begin("sending", tensor, |raw, work| unsafe { ffi::ssl_group_send(raw, handle(tensor), to, work) })
    }

    /// Begins to receive what one rank sends.
    ///
    /// # Errors
    /// As [`Self::all_reduce`].
    pub fn receive(&self, tensor: &Tensor, from: u32) -> Result<Work> {
        let from = from as c_int;
        // SAFETY: as in `all_reduce`.
        self.begin("receiving", tensor, |raw, work| unsafe { ffi::ssl_group_receive(raw, handle(tensor), from, work) })
    }

    /// Begins to wait until every rank has come as far.
    ///
    /// # Errors
    /// When the group is broken.
    pub fn barrier(&self) -> Result<Work> {
        let nothing = Tensor::from(0_i64);
        // SAFETY: takes no tensor.
        self.begin("waiting for all ranks", &nothing, |raw, work| unsafe { ffi::ssl_group_barrier(raw, work) })
    }

    fn begin(
        &self,
        what: &'static str,
        tensor: &Tensor,
        call: impl FnOnce(*mut c_void, *mut *mut c_void) -> c_int,
    ) -> Result<Work> {
        let Inner { raw, seat, broken, .. } = &*self.0;
        if broken.load(Ordering::Acquire) {
            return Err(GroupFault::Broken { what }.at(*seat));
        }
        let mut work = ptr::null_mut();
        check(call(*raw, &raw mut work)).map_err(|fault| GroupFault::Refused { what, message: words(&fault) }.at(*seat))?;
        Ok(Work { raw: work, what, group: Arc::clone(&self.0), _tensor: tensor.shallow_clone() })
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // SAFETY: made by `ssl_group_gloo` or `ssl_group_nccl`, freed once.
        unsafe { ffi::ssl_group_free(self.raw) }
    }
}

/// A collective under way. Its tensors belong to it until it has ended: dropping it waits for that, too.
#[derive(Debug)]
#[must_use = "a collective ends with `wait`"]
pub struct Work {
    raw: *mut c_void,
    what: &'static str,
    group: Arc<Inner>,
    _tensor: Tensor,
}

// SAFETY: c10d's works lock themselves.
unsafe impl Send for Work {}

impl Work {
    /// Waits until the collective has ended on this rank.
    ///
    /// # Errors
    /// When another rank is late or gone; the group is broken then.
    pub fn wait(mut self) -> Result<()> {
        self.finish()
    }

    fn finish(&mut self) -> Result<()> {
        let raw = std::mem::replace(&mut self.raw, ptr::null_mut());
        if raw.is_null() {
            return Ok(());
        }
        // SAFETY: made by `ssl_group_*`, waited for and freed once.
        let ended = check(unsafe { ffi::ssl_work_wait(raw) });
        // SAFETY: as above.
        unsafe { ffi::ssl_work_free(raw) };
        let Inner { seat, timeout, broken, .. } = &*self.group;
        ended.map_err(|fault| {
            broken.store(true, Ordering::Release);
            fault::sort(self.what, timeout.as_secs_f64(), &words(&fault)).at(*seat)
        })
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        // The group remembers a fault for whoever asks next.
        let _ = self.finish();
    }
}

/// The address of this machine on the way to another, which is where that one reaches it.
fn reached_from(host: &str, port: u16) -> Option<String> {
    let address = (host, port).to_socket_addrs().ok()?.next()?;
    let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    // Connecting a datagram socket sends nothing; it only chooses the route.
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(address).ok()?;
    Some(socket.local_addr().ok()?.ip().to_string())
}

fn text(words: &str, seat: Seat) -> Result<CString> {
    let refused = |_| GroupFault::Refused { what: "a name", message: format!("{words:?} has a NUL in it") }.at(seat);
    CString::new(words).map_err(refused)
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX).max(1)
}

fn no_store(address: &str, fault: &Error, seat: Seat) -> Error {
    GroupFault::NoStore { address: address.into(), message: words(fault) }.at(seat)
}

/// What libtorch said, without our words around it.
fn words(fault: &Error) -> String {
    match fault {
        Error::Operation { message, .. } | Error::OutOfMemory { message, .. } => message.clone(),
        other => other.to_string(),
    }
}
