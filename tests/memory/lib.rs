//! What other tests need and cannot be written without `unsafe`.

/// Has the allocator give back to the machine what the program has given back to it. By itself
/// glibc keeps most of that, and the more the larger the largest need was that there ever was; so
/// that resident memory says nothing of leaks. Does nothing with other C libraries.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // SAFETY: it is declared as malloc_trim(3) says, which names no precondition.
        unsafe extern "C" {
            safe fn malloc_trim(pad: usize) -> std::ffi::c_int;
        }
        malloc_trim(0);
    }
}
