BEGIN TRANSACTION;
CREATE TABLE dispa_schema (version INTEGER NOT NULL);
INSERT INTO "dispa_schema" VALUES(1);
CREATE TABLE traffic (
        id TEXT NOT NULL PRIMARY KEY,
        timestamp TEXT NOT NULL,
        client_ip TEXT NOT NULL,
        client_port INTEGER NOT NULL,
        door TEXT NOT NULL,
        origin TEXT,
        protocol TEXT NOT NULL,
        host TEXT,
        sni TEXT,
        method TEXT,
        path TEXT,
        query TEXT,
        rule TEXT,
        target TEXT,
        attempts INTEGER NOT NULL,
        status_code INTEGER,
        request_bytes BIGINT NOT NULL,
        response_bytes BIGINT NOT NULL,
        first_byte_ms DOUBLE PRECISION,
        duration_ms DOUBLE PRECISION NOT NULL,
        outcome TEXT NOT NULL,
        fault TEXT,
        pid BIGINT,
        process TEXT,
        executable TEXT,
        uid BIGINT,
        cgroup TEXT,
        unit TEXT,
        container TEXT,
        headers TEXT
    );
INSERT INTO "traffic" VALUES('01a22160-0923-7392-b6c0-f3fb407b08dd','2026-11-28T08:57:51.651396Z','127.0.0.1',55500,'explicit',NULL,'http1','example.com',NULL,'GET','/c.toml','a=1&token=[redacted]','example.com','one',1,200,0,457,14.512,14.564,'ok',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"cookie":"[redacted]","user-agent":"curl/7.88.1"}');
INSERT INTO "traffic" VALUES('01a22160-0941-7b16-8daf-e54117cb596c','2026-11-28T08:57:51.681093Z','127.0.0.1',55502,'explicit',NULL,'http1','www.example.com',NULL,'GET','/missing',NULL,'*.example.com','one',1,404,0,335,1.003,1.044,'ok',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"user-agent":"curl/7.88.1"}');
INSERT INTO "traffic" VALUES('01a22160-094b-7728-969d-934b7e9a95c0','2026-11-28T08:57:51.691672Z','127.0.0.1',55506,'explicit',NULL,'http1','nobody.test',NULL,'GET','/',NULL,NULL,NULL,0,404,0,62,0.036,0.065,'no_rule',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"user-agent":"curl/7.88.1"}');
INSERT INTO "traffic" VALUES('01a22160-0956-796a-b4bf-e4408a156939','2026-11-28T08:57:51.702147Z','127.0.0.1',55522,'explicit',NULL,'http1','example.com',NULL,'PUT','/%00''x',NULL,'example.com','one',1,501,3,356,3.044,10.338,'ok',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"user-agent":"curl/7.88.1"}');
CREATE INDEX traffic_timestamp ON traffic (timestamp);
CREATE INDEX traffic_host ON traffic (host, id);
CREATE INDEX traffic_status ON traffic (status_code, id);
CREATE INDEX traffic_process ON traffic (process, id);
COMMIT;
