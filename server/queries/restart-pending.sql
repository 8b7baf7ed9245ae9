-- Whether a restart of the machine is due, and why.
-- diagnoses: L09
SELECT /*device*/reason, packages, running, installed, since_ms, uptime_s
FROM reboot_required
