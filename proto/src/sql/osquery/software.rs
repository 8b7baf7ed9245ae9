//! osquery's tables of software, certificates and printing.

use super::View;

pub(super) const VIEWS: &[View] = &[
    View {
        name: "deb_packages",
        columns: "t.name AS name, t.version AS version, t.size_bytes AS size, t.architecture AS arch, \
                  iif(instr(t.version, '-'), replace(t.version, rtrim(t.version, replace(t.version, '-', '')), ''), '') \
                  AS revision, coalesce(nullif(t.status, ''), 'install ok installed') AS status",
        unfilled: "source maintainer section priority admindir",
        from: "(SELECT * FROM {packages} WHERE manager = 'dpkg') t",
    },
    View {
        name: "rpm_packages",
        columns: "t.name AS name, substr(t.version, instr(t.version, ':') + 1, \
                  instr(substr(t.version, instr(t.version, ':') + 1), '-') - 1) AS version, \
                  substr(t.version, instr(t.version, '-') + 1) AS release, t.size_bytes AS size, \
                  t.architecture AS arch, iif(instr(t.version, ':'), \
                  CAST(substr(t.version, 1, instr(t.version, ':') - 1) AS INTEGER), NULL) AS epoch, \
                  t.installed_ms / 1000 AS install_time",
        unfilled: "source sha1 vendor package_group",
        from: "(SELECT * FROM {packages} WHERE manager = 'rpm') t",
    },
    View {
        name: "certificates",
        columns: "substr(t.subject, instr(t.subject, 'CN=') + 3) AS common_name, t.subject AS subject, \
                  t.subject AS subject2, t.issuer AS issuer, t.issuer AS issuer2, t.is_ca AS ca, \
                  t.self_signed AS self_signed, t.not_before_ms / 1000 AS not_valid_before, \
                  t.not_after_ms / 1000 AS not_valid_after, t.signature AS signing_algorithm, \
                  t.key_kind AS key_algorithm, t.key_bits AS key_strength, t.file AS path, t.serial AS serial",
        unfilled: "key_usage subject_key_id authority_key_id sha1 sid store_location store username store_id",
        from: "{certificates} t",
    },
    View {
        name: "cups_jobs",
        columns: "t.title AS title, t.printer AS destination, t.user AS user, t.document_format AS format, \
                  t.size_bytes AS size, t.completed_ms / 1000 AS completed_time, \
                  (t.completed_ms - t.processing_ms) / 1000 AS processing_time, t.created_ms / 1000 AS creation_time",
        unfilled: "",
        from: "(SELECT * FROM {print_jobs} WHERE completed_ms IS NOT NULL) t",
    },
    View {
        name: "cups_destinations",
        columns: "t.name AS name, c.option AS option_name, CASE c.option WHEN 'device-uri' THEN t.device_uri \
                  WHEN 'printer-info' THEN t.info WHEN 'printer-location' THEN t.location \
                  WHEN 'printer-make-and-model' THEN t.make_and_model \
                  WHEN 'printer-state' THEN CASE t.state WHEN 'idle' THEN '3' WHEN 'processing' THEN '4' ELSE '5' END \
                  WHEN 'printer-is-shared' THEN iif(t.shared, 'true', 'false') \
                  WHEN 'printer-is-accepting-jobs' THEN iif(t.accepting_jobs, 'true', 'false') \
                  ELSE (SELECT group_concat(reason.value, ',') FROM json_each(t.state_reasons) reason) END \
                  AS option_value",
        unfilled: "",
        from: "{printers} t JOIN (SELECT 'device-uri' AS option UNION ALL SELECT 'printer-info' \
               UNION ALL SELECT 'printer-location' UNION ALL SELECT 'printer-make-and-model' \
               UNION ALL SELECT 'printer-state' UNION ALL SELECT 'printer-is-shared' \
               UNION ALL SELECT 'printer-is-accepting-jobs' UNION ALL SELECT 'printer-state-reasons') c",
    },
];
