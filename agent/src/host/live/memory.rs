//! What the agent asks of its own allocator.

/// Free memory of at least this much goes back to the system at once, and blocks of this size are mapped apart from the heap.
const GIVE_BACK_BYTES: i32 = 64 * 1024;

/// Tells glibc to hold on to little: one arena for all threads, and no thresholds that grow with the largest block ever freed. Why: after
/// one look at thousands of packages it would otherwise keep megabytes for a next time that is an hour away.
pub fn hold_little_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        let choices = [
            (libc::M_ARENA_MAX, 1),
            (libc::M_MMAP_THRESHOLD, GIVE_BACK_BYTES),
            (libc::M_TRIM_THRESHOLD, GIVE_BACK_BYTES),
        ];
        for (choice, value) in choices {
            // SAFETY: mallopt(3) takes two numbers, touches the allocator's own settings alone, and may be called at any time.
            #[allow(unsafe_code, reason = "no safe crate offers mallopt")]
            let taken = unsafe { libc::mallopt(choice, value) };
            if taken == 0 {
                tracing::warn!(choice, "the allocator refuses to hold less memory");
            }
        }
    }
}
