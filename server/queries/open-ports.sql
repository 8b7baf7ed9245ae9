-- What others can reach on this machine.
SELECT /*device*/protocol, address, port, program, unit
FROM sockets
WHERE NOT local_only
ORDER BY port
