-- Wired links that run slow or half, or damage frames.
-- diagnoses: N12
SELECT /*device*/name, state, duplex, speed_bits_per_second, speed_max_bits_per_second, crc_errors_an_hour,
  crc_errors_per_million, late_collisions, driver
FROM interfaces
WHERE duplex = 'half' OR crc_errors_per_million > 0 OR crc_errors_an_hour > 0 OR late_collisions > 0
  OR speed_bits_per_second < speed_max_bits_per_second
