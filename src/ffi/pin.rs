//! Keeps the code of this library mapped once it may have started a thread.
//!
//! A host that unloads the library while one of its threads runs, or whose
//! runtime runs a destructor of ours later, would jump into nothing.

use std::sync::atomic::{AtomicBool, Ordering};

/// Pins the module that this code is in, once. Best effort: a program that
/// links the library statically needs no pin, and gets none.
pub(super) fn module() {
    // No Once, which a fork could leave locked. Pinning twice does no harm.
    static DONE: AtomicBool = AtomicBool::new(false);
    if !DONE.swap(true, Ordering::AcqRel) {
        pin();
    }
}

#[cfg(unix)]
fn pin() {
    let mut info = libc::Dl_info {
        dli_fname: std::ptr::null(),
        dli_fbase: std::ptr::null_mut(),
        dli_sname: std::ptr::null(),
        dli_saddr: std::ptr::null_mut(),
    };
    let here = pin as fn() as *const libc::c_void;
    // SAFETY: `info` is ours to write; on success its name is a text that
    // lives as long as the module does.
    unsafe {
        if libc::dladdr(here, &raw mut info) != 0 && !info.dli_fname.is_null() {
            // The handle is kept open on purpose: that is the pin.
            let flags = libc::RTLD_NOW | libc::RTLD_NOLOAD | libc::RTLD_NODELETE;
            libc::dlopen(info.dli_fname, flags);
        }
    }
}

#[cfg(windows)]
fn pin() {
    use windows_sys::Win32::System::LibraryLoader::{
        GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS, GET_MODULE_HANDLE_EX_FLAG_PIN, GetModuleHandleExW,
    };
    let mut module = std::ptr::null_mut();
    let here = pin as fn() as *const u16;
    let flags = GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_PIN;
    // SAFETY: with FROM_ADDRESS the second argument is any address inside the
    // module; `module` is ours to write.
    unsafe { GetModuleHandleExW(flags, here, &raw mut module) };
}
