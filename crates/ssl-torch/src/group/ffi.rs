//! `cpp/group.cpp` and `cpp/nccl.cpp`, by name.

use std::ffi::{c_char, c_int, c_void};

use torch_sys::C_tensor;

unsafe extern "C" {
    pub(super) fn ssl_store_tcp(host: *const c_char, port: u16, serves: c_int, timeout_ms: i64, out: *mut *mut c_void) -> c_int;
    pub(super) fn ssl_store_file(path: *const c_char, world: c_int, timeout_ms: i64, out: *mut *mut c_void) -> c_int;
    pub(super) fn ssl_store_within(store: *mut c_void, prefix: *const c_char, out: *mut *mut c_void) -> c_int;
    pub(super) fn ssl_store_set(store: *mut c_void, key: *const c_char, value: *const c_char) -> c_int;
    pub(super) fn ssl_store_has(store: *mut c_void, key: *const c_char, has: *mut c_int) -> c_int;
    pub(super) fn ssl_store_get(store: *mut c_void, key: *const c_char, value: *mut u8, room: i64, length: *mut i64) -> c_int;
    pub(super) fn ssl_store_free(store: *mut c_void);
    pub(super) fn ssl_group_gloo(
        store: *mut c_void,
        rank: c_int,
        world: c_int,
        timeout_ms: i64,
        host: *const c_char,
        interface: *const c_char,
        out: *mut *mut c_void,
    ) -> c_int;
    pub(super) fn ssl_nccl_id(id: *mut C_tensor) -> c_int;
    pub(super) fn ssl_group_nccl(
        id: *mut C_tensor,
        rank: c_int,
        world: c_int,
        timeout_ms: i64,
        device: c_int,
        out: *mut *mut c_void,
    ) -> c_int;
    pub(super) fn ssl_group_free(group: *mut c_void);
    pub(super) fn ssl_group_all_reduce(group: *mut c_void, tensor: *mut C_tensor, work: *mut *mut c_void) -> c_int;
    pub(super) fn ssl_group_reduce(group: *mut c_void, tensor: *mut C_tensor, root: c_int, work: *mut *mut c_void) -> c_int;
    pub(super) fn ssl_group_broadcast(group: *mut c_void, tensor: *mut C_tensor, root: c_int, work: *mut *mut c_void) -> c_int;
    pub(super) fn ssl_group_all_gather(
        group: *mut c_void,
        all: *mut C_tensor,
        own: *mut C_tensor,
        work: *mut *mut c_void,
    ) -> c_int;
    pub(super) fn ssl_group_reduce_scatter(
        group: *mut c_void,
        own: *mut C_tensor,
        all: *mut C_tensor,
        work: *mut *mut c_void,
    ) -> c_int;
    pub(super) fn ssl_group_send(group: *mut c_void, tensor: *mut C_tensor, to: c_int, work: *mut *mut c_void) -> c_int;
    pub(super) fn ssl_group_receive(group: *mut c_void, tensor: *mut C_tensor, from: c_int, work: *mut *mut c_void) -> c_int;
    pub(super) fn ssl_group_barrier(group: *mut c_void, work: *mut *mut c_void) -> c_int;
    pub(super) fn ssl_work_wait(work: *mut c_void) -> c_int;
    pub(super) fn ssl_work_free(work: *mut c_void);
}
