-- File systems that have room and can hold no more files.
-- diagnoses: L02
SELECT /*device*/mount_point, type, inodes_free, inodes_total, used_percent
FROM filesystems
WHERE inodes_total > 0 AND inodes_free * 20 < inodes_total
