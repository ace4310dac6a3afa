-- A seeded database of an application that stores documents, and a night of its life: for benches/databases, by psql.
--
--   psql -v night=0 -v scale=1 -v seed=7 -f databases.sql     fills it: about 1.3 GB of `pg_dump --compress=0` per unit of scale
--   psql -v night=1 …                                         one night: updates, inserts, deletes, VACUUM
--
-- Everything follows from seed, scale and night through hash functions: no random(), no clock; so two servers get the same rows in
-- the same physical order, which is the order of a dump. Old pages are spared, as applications spare them: two thirds of the updated
-- documents are among the youngest twentieth, the others and what is deleted are log-uniform by age (as many in each doubling of it).
\set ON_ERROR_STOP on
\set QUIET on
set client_min_messages = warning;
set temp_buffers = '256MB';
set work_mem = '256MB';
set maintenance_work_mem = '256MB';
set synchronous_commit = off;
-- A join by index keeps the rows in the order they're generated in: it is the order on disk.
set max_parallel_workers_per_gather = 0;
set jit = off;

-- A number below n, and one in (0, 1], that look random and depend on x and salt alone.
create function pg_temp.pick(x bigint, salt bigint, n bigint) returns bigint immutable language sql
  as $$ select (hashint8extended(x, salt) & 9007199254740991) % n $$;
create function pg_temp.unit(x bigint, salt bigint) returns float8 immutable language sql
  as $$ select ((hashint8extended(x, salt) & 9007199254740991) + 1) / 9007199254740992.0::float8 $$;
-- Bytes that don't compress, in steps of 64.
create function pg_temp.noise(x bigint, blocks bigint) returns bytea immutable language sql
  as $$ select string_agg(sha512(int8send(x * 1000 + i)), ''::bytea order by i) from generate_series(1, blocks) i $$;

-- The language: 30,000 words, of which the frequent ones are short; sentences of about 20 of them, by Zipf's law.
create temp table word as
select r, string_agg(
    (array['b','c','d','f','g','h','l','m','n','p','r','s','t','v','w','st','tr','th','ch','pl','','','sh','qu'])[1 + pg_temp.pick(r * 8 + i, :seed, 24)]
    || (array['a','e','i','o','u','e','a','ea','ou','io'])[1 + pg_temp.pick(r * 8 + i, :seed + 1, 10)]
    || (array['','','n','r','s','t','l','nd'])[1 + pg_temp.pick(r * 8 + i, :seed + 2, 8)], '' order by i) as w
from generate_series(1, 30000) r, lateral generate_series(1, 1 + (r > 60)::int + (r > 900)::int + (r > 9000)::int) i
group by r order by r;
create unique index on word (r);
analyze word;
create temp table sentence as
select s.id, upper(left(s.line, 1)) || substr(s.line, 2) || '.' as line
from (select n / 32 + 1 as id,
        string_agg(w.w || case when pg_temp.pick(n, :seed + 4, 14) = 0 then ',' else '' end, ' ' order by n) as line
      from generate_series(0, 250000 * 32 - 1) n
      join word w on w.r = floor(exp(pg_temp.unit(n, :seed + 3) * ln(30000::float8)))
      where n % 32 < 10 + pg_temp.pick(n / 32, :seed + 5, 22)
      group by n / 32) s;
create unique index on sentence (id);
analyze sentence;
-- A text that x names, of `lines` sentences.
create function pg_temp.prose(x bigint, lines bigint) returns text stable language sql as $$
  select string_agg(s.line, case when i % 5 = 0 then E'\n\n' else ' ' end order by i)
  from generate_series(1, lines) i join sentence s on s.id = 1 + pg_temp.pick(x * 1000 + i, 11, 250000) $$;
-- A handful to very many: 1 + an exponential of this mean.
create function pg_temp.many(x bigint, mean float8) returns bigint immutable language sql
  as $$ select 1 + floor(-ln(pg_temp.unit(x, 12)) * mean)::bigint $$;
create function pg_temp.at(x float8) returns timestamptz immutable language sql
  as $$ select timestamptz '2024-01-01 00:00:00+00' + x * interval '1 day' $$;

-- One row of each kind. `v` is what changes it: 0 at the fill, the night later on.
create function pg_temp.settings(id bigint, v bigint) returns jsonb immutable language sql as $$
  select jsonb_build_object('theme', (array['light','dark','system'])[1 + pg_temp.pick(id, 20, 3)],
    'locale', (array['de-DE','en-GB','en-US','fr-FR','es-ES'])[1 + pg_temp.pick(id, 21, 5)],
    'notifications', jsonb_build_object('email', pg_temp.pick(id, 22, 2) = 0, 'push', pg_temp.pick(id, 23, 3) = 0, 'digest', 'weekly'),
    'sidebar', jsonb_build_array(pg_temp.pick(id, 24, 900), pg_temp.pick(id, 25, 900), pg_temp.pick(id, 26, 900)),
    'last_opened', pg_temp.pick(id * 100 + v, 27, 600000), 'revision', v) $$;
create function pg_temp.payload(id bigint) returns jsonb stable language sql as $$
  select jsonb_build_object('type', (array['document.opened','document.saved','comment.added','login','export.finished','share.created'])[1 + pg_temp.pick(id, 30, 6)],
    'path', '/api/v1/documents/' || pg_temp.pick(id, 31, 600000), 'duration_ms', pg_temp.pick(id, 32, 4000),
    'request', md5('request' || id), 'status', 'queued',
    'client', jsonb_build_object('os', (array['Linux','macOS','Windows','Android','iOS'])[1 + pg_temp.pick(id, 33, 5)],
      'version', '12.' || pg_temp.pick(id, 34, 40) || '.' || pg_temp.pick(id, 35, 9), 'viewport', jsonb_build_array(1200 + pg_temp.pick(id, 36, 20) * 16, 800)),
    'summary', pg_temp.prose(id + 50000000, 1)) $$;

select :night = 0 as first \gset
\if :first

create table users (id bigint generated by default as identity, email text not null, name text not null, password text not null,
  settings jsonb not null, created_at timestamptz not null, last_seen timestamptz not null);
create table documents (id bigint generated by default as identity, author_id bigint not null, title text not null, body text not null, tags text[] not null,
  version int not null, created_at timestamptz not null, updated_at timestamptz not null);
create table events (id bigint generated by default as identity, user_id bigint not null, at timestamptz not null, payload jsonb not null);
create table thumbnails (id bigint generated by default as identity, document_id bigint not null, mime text not null, image bytea not null);
create table keys (id bigint generated by default as identity, kid text not null, wrapped bytea not null, created_at timestamptz not null);
create table audit_log (id bigint generated by default as identity, at timestamptz not null, actor_id bigint not null, action text not null, target text not null,
  address inet not null, detail text not null, digest text not null);
create table sessions (id bigint generated by default as identity, token bytea not null, user_id bigint not null, agent text not null,
  created_at timestamptz not null, expires_at timestamptz not null);
\set users '1, (:scale * 100000)::bigint'
\set documents '1, (:scale * 600000)::bigint'
\set events '1, (:scale * 400000)::bigint'
\set thumbnails '1, (:scale * 12000)::bigint'
\set keys '1, (:scale * 100000)::bigint'
\set audit_log '1, (:scale * 900000)::bigint'
\set sessions '1, (:scale * 20000)::bigint'

\else

-- The id of a document, of which there are m: log-uniform by age.
create function pg_temp.aged(x bigint, salt bigint, m bigint) returns bigint immutable language sql
  as $$ select m + 1 - ceil(exp(pg_temp.unit(x, salt) * ln(m::float8)))::bigint $$;
-- What goes: documents, the oldest events, the sessions that expired, images anywhere.
delete from documents where id in (select pg_temp.aged(i, :night + 100, m) from (select max(id) m from documents) x, generate_series(1, (m * 0.002)::bigint) i);
delete from events where id in (select id from events order by id limit (:scale * 1200)::bigint);
delete from sessions where id in (select id from sessions order by id limit (:scale * 4000)::bigint);
delete from thumbnails where id in (select 1 + pg_temp.pick(i, :night + 101, m) from (select max(id) m from thumbnails) x, generate_series(1, (m * 0.003)::bigint) i);

-- What changes: 1.2 % of the documents, 2 % of the users, a tenth of the sessions, a little elsewhere.
update documents d set version = d.version + 1, updated_at = pg_temp.at(700 + :night + pg_temp.unit(d.id, :night)),
    body = d.body || ' ' || pg_temp.prose(d.id * 100 + :night, 1)
  where id in (select pg_temp.aged(i, :night + 102, m) from (select max(id) m from documents) x, generate_series(1, (m * 0.0075)::bigint) i
    union select m - pg_temp.pick(i, :night + 103, m / 20) from (select max(id) m from documents) x, generate_series(1, (m * 0.0085)::bigint) i);
update users u set settings = pg_temp.settings(u.id, :night), last_seen = pg_temp.at(700 + :night + pg_temp.unit(u.id, :night))
  where id in (select 1 + pg_temp.pick(i, :night + 104, m) from (select max(id) m from users) x, generate_series(1, (m * 0.02)::bigint) i);
update events e set payload = jsonb_set(e.payload, '{status}', '"done"')
  where id in (select id from events where id > (select max(id) from events) - (:scale * 3200)::bigint and pg_temp.pick(id, :night + 105, 3) = 0);
update sessions s set expires_at = pg_temp.at(714 + :night + pg_temp.unit(s.id, :night))
  where pg_temp.pick(s.id, :night + 106, 10) = 0;
update keys k set kid = 'key-' || 4 + :night, wrapped = pg_temp.noise(k.id * 100 + :night, 1)
  where id in (select 1 + pg_temp.pick(i, :night + 107, m) from (select max(id) m from keys) x, generate_series(1, (m * 0.01)::bigint) i);

-- What comes.
select max(id) + 1 || ', ' || max(id) + (:scale * 200)::bigint as users from users \gset
select max(id) + 1 || ', ' || max(id) + (:scale * 4200)::bigint as documents from documents \gset
select max(id) + 1 || ', ' || max(id) + (:scale * 3200)::bigint as events from events \gset
select max(id) + 1 || ', ' || max(id) + (:scale * 120)::bigint as thumbnails from thumbnails \gset
select max(id) + 1 || ', ' || max(id) + (:scale * 400)::bigint as keys from keys \gset
select max(id) + 1 || ', ' || max(id) + (:scale * 4500)::bigint as audit_log from audit_log \gset
select max(id) + 1 || ', ' || max(id) + (:scale * 4000)::bigint as sessions from sessions \gset

\endif

insert into users
select id, (select w from word where r = 61 + pg_temp.pick(id, 40, 20000)) || id || '@example.org',
  initcap((select w from word where r = 61 + pg_temp.pick(id, 41, 9000)) || ' ' || (select w from word where r = 901 + pg_temp.pick(id, 42, 20000))),
  '$argon2id$v=19$m=65536,t=3,p=4$' || encode(decode(md5('salt' || id), 'hex'), 'base64') || '$' || encode(sha256(int8send(id)), 'base64'),
  pg_temp.settings(id, :night), pg_temp.at(case when :night = 0 then 700.0 * id / (:scale * 100000) else 700 + :night end), pg_temp.at(600 + pg_temp.unit(id, 43) * 100 + :night)
from generate_series(:users) id;
insert into documents
select id, 1 + pg_temp.pick(id, 50, (:scale * 100000)::bigint), left((select line from sentence where sentence.id = 1 + pg_temp.pick(d.id, 51, 250000)), 60),
  pg_temp.prose(id, pg_temp.many(id, 6)), array[(select w from word where r = 61 + pg_temp.pick(d.id, 52, 300)), 'y' || 2015 + pg_temp.pick(id, 53, 10)],
  1, pg_temp.at(age), pg_temp.at(age + pg_temp.unit(id, 54))
from (select id, case when :night = 0 then 700.0 * id / (:scale * 600000) else 700 + :night end as age from generate_series(:documents) id) d;
insert into events
select id, 1 + pg_temp.pick(id, 60, (:scale * 100000)::bigint), pg_temp.at(case when :night = 0 then 700.0 * id / (:scale * 400000) else 700 + :night + pg_temp.unit(id, 61) end), pg_temp.payload(id)
from generate_series(:events) id;
insert into thumbnails
select id, 1 + pg_temp.pick(id, 62, (:scale * 600000)::bigint), 'image/jpeg', '\xffd8ffe000104a46494600010100'::bytea || pg_temp.noise(id, 50 + pg_temp.pick(id, 63, 100))
from generate_series(:thumbnails) id;
insert into keys
select id, 'key-' || case when :night = 0 then pg_temp.pick(id, 64, 4) else 4 + :night end, pg_temp.noise(id + 900000000, 1), pg_temp.at(case when :night = 0 then 700.0 * id / (:scale * 100000) else 700 + :night end)
from generate_series(:keys) id;
insert into audit_log
select id, pg_temp.at(case when :night = 0 then 700.0 * id / (:scale * 900000) else 700 + :night + pg_temp.unit(id, 70) end), 1 + pg_temp.pick(id, 71, (:scale * 100000)::bigint),
  (array['read','update','share','login','logout','download','delete','create'])[1 + pg_temp.pick(id, 72, 8)], 'document/' || pg_temp.pick(id, 73, 600000),
  ('10.' || pg_temp.pick(id, 74, 20) || '.' || pg_temp.pick(id, 75, 250) || '.' || pg_temp.pick(id, 76, 250))::inet,
  (select left(line, 90) from sentence where sentence.id = 1 + pg_temp.pick(a.id, 77, 250000)), md5('chain' || id)
from generate_series(:audit_log) a(id);
insert into sessions
select id, sha256(int8send(id + 77)), 1 + pg_temp.pick(id, 80, (:scale * 100000)::bigint),
  'Mozilla/5.0 (X11; Linux x86_64; rv:' || 110 + pg_temp.pick(id, 81, 30) || '.0) Gecko/20100101 Firefox/' || 110 + pg_temp.pick(id, 81, 30) || '.0',
  pg_temp.at(699 + :night + pg_temp.unit(id, 82)), pg_temp.at(713 + :night + pg_temp.unit(id, 82))
from generate_series(:sessions) id;

\if :first
alter table users add primary key (id);
create unique index on users (email);
alter table documents add primary key (id), add foreign key (author_id) references users (id);
create index on documents (author_id);
create index on documents (updated_at);
alter table events add primary key (id);
create index on events (user_id);
alter table thumbnails add primary key (id);
alter table keys add primary key (id);
alter table audit_log add primary key (id);
create index on audit_log (at);
alter table sessions add primary key (id);
create index on sessions (user_id);
\endif
select setval(pg_get_serial_sequence(t, 'id'), (xpath('/row/m/text()', query_to_xml('select max(id) m from ' || t, false, true, '')))[1]::text::bigint)
from unnest(array['users', 'documents', 'events', 'thumbnails', 'keys', 'audit_log', 'sessions']) t \g /dev/null
-- What autovacuum does in the course of a night, here at once: the next night's rows go where this one's dead ones were.
vacuum (analyze) users, documents, events, thumbnails, keys, audit_log, sessions;
