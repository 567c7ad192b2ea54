-- Run once, by the superuser, in the new database "monedero": the roles of the program and of the replica.
\set monedero_password `cat /run/secrets/monedero_password`
\set replication_password `cat /run/secrets/replication_password`
CREATE ROLE monedero LOGIN PASSWORD :'monedero_password';
CREATE ROLE replication LOGIN REPLICATION PASSWORD :'replication_password';
ALTER DATABASE monedero OWNER TO monedero;
