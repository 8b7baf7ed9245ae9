//! What the agent asks of its own allocator, and of the kernel for its own program.

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

/// Gives back what is not needed at the moment: whole free pages of the heap, and the pages of the program itself.
pub fn give_back_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // SAFETY: malloc_trim(3) touches free memory of the allocator alone, and may be called at any time. Why it is needed beside the
        // threshold: by itself the allocator gives back only what is free above the highest block in use.
        #[allow(unsafe_code, reason = "no safe crate offers malloc_trim")]
        unsafe {
            libc::malloc_trim(0);
        }
    }
    give_back_program();
}

/// Where the code and the constants of this program lie in memory; empty where the system does not say.
static PROGRAM: LazyLock<Vec<Range<usize>>> = LazyLock::new(segments);

/// Lets go of the pages of the program's own code and constants; those that are needed again are mapped again from the page cache as they are
/// used. Why: looks run most of the program for a moment, and what they ran would stay for the time in which little of it is needed.
fn give_back_program() {
    #[cfg(target_os = "linux")]
    for segment in PROGRAM.iter() {
        // SAFETY: the range lies within a segment of this program's file that is mapped privately and never writable, so no page of it
        // differs from the file; the kernel maps it again from there at the next access. It stays mapped for as long as the program runs.
        #[allow(unsafe_code, reason = "no safe crate offers madvise on one's own program")]
        let given = unsafe { libc::madvise(segment.start as *mut libc::c_void, segment.len(), libc::MADV_DONTNEED) };
        if given != 0 {
            tracing::debug!(error = %std::io::Error::last_os_error(), "the program stays in memory");
        }
    }
}

/// The loaded segments of this program that are never writable, by its program headers (elf(5)), in whole pages.
fn segments() -> Vec<Range<usize>> {
    let mut found = Vec::new();
    #[cfg(target_os = "linux")]
    {
        // SAFETY: dl_iterate_phdr(3) calls `note` with descriptions that are valid during the call, and hands on the pointer to `found`.
        #[allow(unsafe_code, reason = "no safe crate offers the program's own headers")]
        unsafe {
            libc::dl_iterate_phdr(Some(note), (&raw mut found).cast());
        }
    }
    found
}

/// Notes the segments of the first object, which is the program itself, and ends the listing.
#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "called by the dynamic linker")]
unsafe extern "C" fn note(object: *mut libc::dl_phdr_info, _size: usize, found: *mut libc::c_void) -> libc::c_int {
    // SAFETY: the linker's description is valid during this call, and `found` is the list that `segments` gave.
    let (object, found) = unsafe { (&*object, &mut *found.cast::<Vec<Range<usize>>>()) };
    // SAFETY: the linker says where its headers are, and how many.
    let headers = unsafe { std::slice::from_raw_parts(object.dlpi_phdr, usize::from(object.dlpi_phnum)) };
    let page = rustix::param::page_size();
    for header in headers.iter().filter(|header| header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_W == 0) {
        let start = (object.dlpi_addr as usize).wrapping_add(header.p_vaddr as usize);
        let whole = start.next_multiple_of(page)..(start + header.p_memsz as usize) / page * page;
        if whole.start < whole.end {
            found.push(whole);
        }
    }
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_is_code_and_constants_and_nothing_that_is_written() {
        static CONSTANT: [u8; 65_536] = [7; 65_536];
        static WRITTEN: std::sync::Mutex<[u8; 65_536]> = std::sync::Mutex::new([7; 65_536]);
        let holds = |address: usize| PROGRAM.iter().any(|segment| segment.contains(&address));
        assert!(holds(segments as fn() -> Vec<Range<usize>> as usize));
        assert!(holds(CONSTANT.as_ptr() as usize + 32_768));
        assert!(!holds(WRITTEN.lock().unwrap().as_ptr() as usize + 32_768));
        assert!(!holds((&raw const PROGRAM) as usize));
    }

    #[test]
    fn the_program_runs_on_after_it_was_given_back() {
        for _time in 0..3 {
            give_back_program();
            assert_eq!("it runs".to_uppercase(), "IT RUNS");
        }
    }
}
