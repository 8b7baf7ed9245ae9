//! What is mounted, as /proc/self/mountinfo says (proc(5)).

/// Types that hold data. Why a list of these and not of the others: a new kind of pseudo file system must not look like a full disk.
/// Images that are full by nature (squashfs, iso9660) are not in it.
const DATA: [&str; 27] = [
    "9p",
    "afs",
    "apfs",
    "bcachefs",
    "btrfs",
    "ceph",
    "cifs",
    "exfat",
    "ext2",
    "ext3",
    "ext4",
    "f2fs",
    "fuseblk",
    "gfs2",
    "glusterfs",
    "hfsplus",
    "jfs",
    "nfs",
    "nfs4",
    "ntfs",
    "ntfs3",
    "ocfs2",
    "smb3",
    "vfat",
    "virtiofs",
    "xfs",
    "zfs",
];

/// FUSE types that hold data.
const FUSE_DATA: [&str; 5] = ["fuse.sshfs", "fuse.glusterfs", "fuse.mergerfs", "fuse.rclone", "fuse.s3fs"];

/// Options that name a person or a secret.
const PERSONAL: [&str; 5] = ["username=", "user=", "password=", "pass=", "credentials="];

/// Types whose data lies on another machine.
const NETWORK: [&str; 11] =
    ["9p", "afs", "ceph", "cifs", "fuse.glusterfs", "fuse.rclone", "fuse.s3fs", "fuse.sshfs", "nfs", "nfs4", "smb3"];

/// Whether file systems of a type hold data.
pub(super) fn holds_data(kind: &str) -> bool {
    DATA.contains(&kind) || FUSE_DATA.contains(&kind)
}

/// Whether a type's data lies on another machine.
pub(super) fn is_remote(kind: &str) -> bool {
    NETWORK.contains(&kind) || kind == "glusterfs"
}

/// One line of mountinfo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    /// "major:minor" of the file system's device.
    pub(super) device: String,
    pub(super) point: String,
    pub(super) source: String,
    pub(super) kind: String,
    /// Of the mount and of the file system beneath; what names a person or a secret is left out.
    pub(super) options: Vec<String>,
    /// The mount itself is read-only.
    pub(super) point_read_only: bool,
    /// The file system beneath is.
    pub(super) beneath_read_only: bool,
}

/// proc(5): "36 35 98:0 /root /mnt rw,noatime shared:1 - ext4 /dev/sda1 rw,errors=continue".
pub(super) fn parse(line: &str) -> Option<Mount> {
    let (place, kind) = line.split_once(" - ")?;
    let mut place = place.split(' ').skip(2);
    let (device, _root) = (place.next()?, place.next()?);
    let (mount_point, point_options) = (place.next()?, place.next()?);
    let mut kind = kind.split(' ');
    let (name, source) = (kind.next()?, kind.next()?);
    let beneath_options = kind.next().unwrap_or_default();
    let mut options = plain_options(&format!("{point_options},{beneath_options}"));
    let read_only = |options: &str| options.split(',').any(|option| option == "ro");
    let (point_read_only, beneath_read_only) = (read_only(point_options), read_only(beneath_options));
    // Either the mount or the file system beneath may be read-only, as after `errors=remount-ro`; then it is, whatever the other says.
    if point_read_only || beneath_read_only {
        options.retain(|option| option != "ro" && option != "rw");
        options.insert(0, "ro".into());
    }
    Some(Mount {
        device: device.to_owned(),
        point: unescape(mount_point),
        source: unescape(source),
        kind: name.to_owned(),
        options,
        point_read_only,
        beneath_read_only,
    })
}

/// Options as a list, each once, without those that name a person or a secret.
pub(super) fn plain_options(text: &str) -> Vec<String> {
    let mut options = Vec::new();
    for option in text.split(',') {
        let personal = PERSONAL.iter().any(|name| option.starts_with(name));
        if !option.is_empty() && !personal && !options.iter().any(|known| known == option) {
            options.push(unescape(option));
        }
    }
    options
}

/// Blank, tab, line end and backslash are written as a backslash and three octal digits, here as in fstab.
pub(super) fn unescape(text: &str) -> String {
    let mut pieces = text.split('\\');
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let code = piece.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()).filter(u8::is_ascii);
        plain.push(code.map_or('\\', char::from));
        plain.push_str(code.and_then(|_code| piece.get(3..)).unwrap_or(piece));
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_that_an_error_made_read_only_is_read_only() {
        let mount = parse("22 1 8:1 / / rw,relatime - ext4 /dev/sda1 ro,errors=remount-ro").unwrap();
        assert_eq!(mount.options, ["ro", "relatime", "errors=remount-ro"]);
        assert_eq!((mount.point_read_only, mount.beneath_read_only), (false, true));
    }

    #[test]
    fn escapes_that_are_none_stay() {
        assert_eq!(unescape("a\\040b\\"), "a b\\");
        assert_eq!(unescape("\\9zz\\377\\ä"), "\\9zz\\377\\ä");
    }

    #[test]
    fn options_that_name_a_person_or_a_secret_are_left_out() {
        assert_eq!(plain_options("rw,username=alice,password=x,vers=3.0,rw"), ["rw", "vers=3.0"]);
    }
}
