//! Functions for other tests that require `unsafe`.

/// Returns freed memory from the allocator to the system. glibc retains most of it otherwise, the
/// more the larger its peak was, so that resident memory would not reveal leaks. Does nothing with
/// other C libraries.
pub fn release_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // SAFETY: declared as in malloc_trim(3), which has no preconditions.
        unsafe extern "C" {
            safe fn malloc_trim(pad: usize) -> std::ffi::c_int;
        }
        malloc_trim(0);
    }
}
