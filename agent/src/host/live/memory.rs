//! What the agent asks of its own allocator, and of the kernel for its own program.

use std::fs;
use std::ops::Range;
use std::sync::LazyLock;

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

/// Where the code of this program lies in memory; absent where the system does not say.
static CODE: LazyLock<Option<Range<usize>>> =
    LazyLock::new(|| code(&fs::read_to_string("/proc/self/maps").ok()?, give_back_code as fn() as usize));

/// Lets go of the pages of the program's own code; those that are needed again are mapped again from the page cache as they are run. Why:
/// a look at everything runs most of the program once, and what it ran would stay for the hours in which little of it is needed.
pub fn give_back_code() {
    #[cfg(target_os = "linux")]
    if let Some(code) = CODE.clone() {
        // SAFETY: the range is one mapping of this program's file, private and not writable, so no page of it differs from the file; the
        // kernel maps it again from there at the next instruction. It stays mapped for as long as the program runs.
        #[allow(unsafe_code, reason = "no safe crate offers madvise on one's own code")]
        let given = unsafe { libc::madvise(code.start as *mut libc::c_void, code.len(), libc::MADV_DONTNEED) };
        if given != 0 {
            tracing::debug!(error = %std::io::Error::last_os_error(), "the code stays in memory");
        }
    }
}

/// The mapping of /proc/PID/maps (proc(5)) that holds an address, where it may be run and not written.
fn code(maps: &str, address: usize) -> Option<Range<usize>> {
    maps.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let (from, to) = words.next()?.split_once('-')?;
        let range = usize::from_str_radix(from, 16).ok()?..usize::from_str_radix(to, 16).ok()?;
        (words.next()? == "r-xp" && range.contains(&address)).then_some(range)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_the_mapping_that_is_run_and_not_written() {
        let maps = "1000-2000 r--p 00000000 fe:00 7 /usr/bin/a\n2000-5000 r-xp 00001000 fe:00 7 /usr/bin/a\n\
                    5000-6000 rw-p 00004000 fe:00 7 /usr/bin/a\n6000-7000 rwxp 00000000 00:00 0\ngarbage\n";
        assert_eq!(code(maps, 0x2fff), Some(0x2000..0x5000));
        assert_eq!(code(maps, 0x5000), None, "what may be written may differ from the file");
        assert_eq!(code(maps, 0x6800), None);
        assert_eq!(code("", 0x2fff), None);
    }

    #[test]
    fn the_program_runs_on_after_its_code_was_given_back() {
        assert!(CODE.is_some());
        for _time in 0..3 {
            give_back_code();
            assert_eq!("it runs".to_uppercase(), "IT RUNS");
        }
    }
}
