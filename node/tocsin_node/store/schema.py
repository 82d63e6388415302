"""The tables, as migrations: list position + 1 is the schema version, and none is ever edited once released."""

from __future__ import annotations

MIGRATIONS = (
    """
    CREATE TABLE node (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        publisher BLOB NOT NULL,
        network BLOB NOT NULL,
        exposure BLOB NOT NULL
    ) STRICT;

    CREATE TABLE rosters (
        epoch INTEGER PRIMARY KEY,
        signed BLOB NOT NULL
    ) STRICT;

    -- id is the order of arrival: the key of every page. No row is ever deleted, so none is given twice.
    CREATE TABLE signals (
        id INTEGER PRIMARY KEY,
        digest BLOB NOT NULL UNIQUE,
        publisher BLOB NOT NULL,
        lane INTEGER NOT NULL,
        sequence INTEGER NOT NULL,
        encoded BLOB NOT NULL,
        received_ms INTEGER NOT NULL,
        path TEXT NOT NULL,
        standing TEXT NOT NULL,
        incident BLOB,
        -- Whether it can change a decision: 1, it touched what ours hangs on when it came; 2, it takes something back.
        matters INTEGER NOT NULL,
        UNIQUE (publisher, lane, sequence)
    ) STRICT;
    -- The newest signals of one feed within one incident: what a decision reads.
    CREATE INDEX signals_by_incident ON signals (incident, publisher, lane, id) WHERE incident IS NOT NULL;
    -- One for each mark: the newest of a mark are then at the index's end, however many there are.
    CREATE INDEX signals_that_touch ON signals (publisher, lane, id) WHERE matters = 1;
    CREATE INDEX signals_that_retract ON signals (publisher, lane, id) WHERE matters = 2;

    -- head: the highest signal held; contiguous: up to where nothing is missing.
    CREATE TABLE feeds (
        publisher BLOB NOT NULL,
        lane INTEGER NOT NULL,
        contiguous INTEGER NOT NULL,
        head INTEGER NOT NULL,
        head_digest BLOB NOT NULL,
        PRIMARY KEY (publisher, lane)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE outbox (
        lane INTEGER NOT NULL,
        sequence INTEGER NOT NULL,
        PRIMARY KEY (lane, sequence)
    ) STRICT, WITHOUT ROWID;

    -- Own signals that may not be sealed yet: they count for our own decisions, and are published later.
    CREATE TABLE drafts (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        digest BLOB NOT NULL UNIQUE,
        body BLOB NOT NULL,
        at_ms INTEGER NOT NULL,
        incident BLOB NOT NULL
    ) STRICT;

    CREATE TABLE equivocations (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        publisher BLOB NOT NULL UNIQUE,
        proof BLOB NOT NULL,
        at_ms INTEGER NOT NULL
    ) STRICT;

    CREATE TABLE incidents (
        id BLOB PRIMARY KEY,
        family TEXT NOT NULL,
        hint TEXT NOT NULL,
        first_ms INTEGER NOT NULL,
        last_ms INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX incidents_by_age ON incidents (first_ms);

    CREATE TABLE incident_subjects (
        subject TEXT NOT NULL,
        incident BLOB NOT NULL,
        PRIMARY KEY (subject, incident)
    ) STRICT, WITHOUT ROWID;

    -- Incidents that somebody should look at together. `tie`: a signal belonged to both, or one followed the other.
    CREATE TABLE incident_ties (
        incident BLOB NOT NULL,
        other BLOB NOT NULL,
        tie TEXT NOT NULL,
        PRIMARY KEY (incident, other)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX incident_ties_of_other ON incident_ties (other);

    CREATE TABLE decisions (
        id INTEGER PRIMARY KEY,
        incident BLOB NOT NULL,
        at_ms INTEGER NOT NULL,
        acts INTEGER NOT NULL,
        shape BLOB NOT NULL,
        detail BLOB NOT NULL
    ) STRICT;
    CREATE INDEX decisions_by_incident ON decisions (incident, id);

    CREATE TABLE arms (
        hook TEXT PRIMARY KEY,
        epoch INTEGER NOT NULL,
        armed INTEGER NOT NULL,
        at_ms INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE actions (
        id BLOB PRIMARY KEY,
        hook TEXT NOT NULL,
        target TEXT NOT NULL,
        arm_epoch INTEGER NOT NULL,
        incident BLOB NOT NULL,
        decision BLOB NOT NULL,
        payload BLOB NOT NULL,
        created_ms INTEGER NOT NULL,
        deadline_ms INTEGER NOT NULL,
        state TEXT NOT NULL,
        UNIQUE (hook, target, arm_epoch)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE action_events (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        action BLOB NOT NULL,
        at_ms INTEGER NOT NULL,
        event TEXT NOT NULL,
        detail BLOB NOT NULL
    ) STRICT;
    CREATE INDEX action_events_by_action ON action_events (action, id);

    -- What our own endpoints said of a claim, whoever made it.
    CREATE TABLE evidence_checks (
        claim BLOB PRIMARY KEY,
        answer TEXT NOT NULL,
        doubt TEXT NOT NULL,
        disagrees INTEGER NOT NULL,
        at_ms INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;

    -- What the operator found an incident to have been, and what each publisher earned by it.
    CREATE TABLE adjudications (
        incident BLOB PRIMARY KEY,
        body BLOB NOT NULL,
        signature BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE outcomes (
        incident BLOB NOT NULL,
        publisher BLOB NOT NULL,
        category TEXT NOT NULL,
        verdict TEXT NOT NULL,
        severity TEXT NOT NULL,
        at_ms INTEGER NOT NULL,
        delay_ms INTEGER,
        PRIMARY KEY (incident, publisher)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX outcomes_by_age ON outcomes (at_ms);

    -- Minutes of a lever that a foreign member is held to account for.
    CREATE TABLE charges (
        action BLOB NOT NULL,
        member TEXT NOT NULL,
        incident BLOB NOT NULL,
        minutes INTEGER NOT NULL,
        at_ms INTEGER NOT NULL,
        refunded INTEGER NOT NULL,
        PRIMARY KEY (action, member)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX charges_by_age ON charges (at_ms);

    CREATE TABLE audit (
        sequence INTEGER PRIMARY KEY,
        at_ms INTEGER NOT NULL,
        kind TEXT NOT NULL,
        reference BLOB NOT NULL,
        detail BLOB NOT NULL
    ) STRICT;
    """,
    """
    -- Until when its effect should last; nothing for what has nothing to end.
    ALTER TABLE actions ADD COLUMN ends_ms INTEGER;
    UPDATE actions SET state = CASE state
        WHEN 'intended' THEN 'planned' WHEN 'mined' THEN 'included' WHEN 'confirmed' THEN 'effective' ELSE state END;

    -- Which ledger of actions this is, and how many intents and armings it has counted. instance: the process that
    -- holds it. doubt: why the operator has to say that it may act, or nothing.
    CREATE TABLE ledger (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        id BLOB NOT NULL,
        sequence INTEGER NOT NULL,
        instance BLOB NOT NULL,
        doubt TEXT NOT NULL
    ) STRICT;
    INSERT INTO ledger VALUES (1, randomblob(16), 0, x'', '');
    """,
    """
    -- What the operators were asked. digest: what they sign; body: the file that a wallet is given; use_key: what it
    -- may be used for once; action: the one that waits for it, nothing for a step of a reopening.
    CREATE TABLE requests (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        digest BLOB NOT NULL UNIQUE,
        use_key BLOB NOT NULL,
        body BLOB NOT NULL,
        action BLOB,
        at_ms INTEGER NOT NULL,
        state TEXT NOT NULL,
        reason TEXT NOT NULL
    ) STRICT;
    CREATE INDEX requests_by_use ON requests (use_key, id);
    CREATE TABLE request_approvals (
        request INTEGER NOT NULL,
        operator BLOB NOT NULL,
        approval BLOB NOT NULL,
        at_ms INTEGER NOT NULL,
        PRIMARY KEY (request, operator)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE used_requests (use_key BLOB PRIMARY KEY, at_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    -- The highest time that the node has seen: no clock set back revives what expired.
    CREATE TABLE latest_time (only INTEGER PRIMARY KEY CHECK (only = 1), at_ms INTEGER NOT NULL) STRICT;
    INSERT INTO latest_time VALUES (1, 0);

    -- Levers in effect that hold scopes (canonical list of names) still, for as long as their actions hold.
    CREATE TABLE held_levers (
        action BLOB PRIMARY KEY,
        hook TEXT NOT NULL,
        tier INTEGER NOT NULL,
        scopes BLOB NOT NULL,
        ends_ms INTEGER NOT NULL,
        incident BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
    -- Where the recovery of each scope is: one row for each scope that was ever contained, so that its step only rises.
    -- note: what became of the last event that was worth telling.
    CREATE TABLE tracks (
        scope TEXT PRIMARY KEY,
        incident BLOB NOT NULL,
        stage TEXT NOT NULL,
        step INTEGER NOT NULL,
        last_number INTEGER NOT NULL,
        last_ms INTEGER NOT NULL,
        calm_ms INTEGER NOT NULL,
        watched_ms INTEGER NOT NULL,
        exit_ms INTEGER NOT NULL,
        backs INTEGER NOT NULL,
        level INTEGER NOT NULL,
        is_approved INTEGER NOT NULL,
        started_ms INTEGER NOT NULL,
        tier INTEGER NOT NULL,
        note TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    """,
    """
    -- Why this node disarmed its own hooks. Gone with the next arming: a person has seen it.
    CREATE TABLE standstills (
        cause TEXT PRIMARY KEY,
        sentence TEXT NOT NULL,
        at_ms INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;

    -- The newest statement of each offline key: none counts twice.
    CREATE TABLE disarm_statements (
        key BLOB PRIMARY KEY,
        issued_ms INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;

    -- How many transactions of our guardian each chain has counted.
    CREATE TABLE guardian_counts (
        chain TEXT PRIMARY KEY,
        count INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;

    -- The last result of the doctor; earlier ones are in the audit table.
    CREATE TABLE doctor (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        at_ms INTEGER NOT NULL,
        healthy INTEGER NOT NULL,
        report TEXT NOT NULL
    ) STRICT;

    -- What a drill set off here. body and signature: the record of how long it took, once that is known.
    CREATE TABLE drills (
        action BLOB PRIMARY KEY,
        drill BLOB NOT NULL,
        publisher BLOB NOT NULL,
        issued_ms INTEGER NOT NULL,
        at_ms INTEGER NOT NULL,
        body BLOB,
        signature BLOB
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX drills_by_age ON drills (at_ms);
    """,
    """
    -- What was approved is kept whole, not that it was: the payload of the step, and until when it counts. What was
    -- approved before is asked anew.
    UPDATE tracks SET step = step + 1 WHERE is_approved;
    ALTER TABLE tracks DROP COLUMN is_approved;
    ALTER TABLE tracks ADD COLUMN approved BLOB;
    ALTER TABLE tracks ADD COLUMN approved_until_ms INTEGER NOT NULL DEFAULT 0;
    """,
    """
    -- The tree over the audit table: the signed head, and the hashes of every tile, of the last ones as far as they go.
    CREATE TABLE log_head (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        key TEXT NOT NULL,
        note BLOB NOT NULL
    ) STRICT;
    CREATE TABLE log_tiles (
        level INTEGER NOT NULL,
        number INTEGER NOT NULL,
        hashes BLOB NOT NULL,
        PRIMARY KEY (level, number)
    ) STRICT;

    -- Other members' logs that we are a witness of: the largest signed head, and the proof where it has split.
    CREATE TABLE witnessed (origin TEXT PRIMARY KEY, note BLOB NOT NULL, split BLOB NOT NULL) STRICT, WITHOUT ROWID;

    -- What was too large for an entry, by the SHA-256 that stands there.
    CREATE TABLE large_details (sha256 BLOB PRIMARY KEY, detail BLOB NOT NULL) STRICT;
    """,
    """
    -- Of each other publisher's log the largest signed head that we have seen, and cosign. What proves that one has
    -- split is in the table of equivocations.
    DROP TABLE witnessed;
    CREATE TABLE witnessed (publisher BLOB PRIMARY KEY, note BLOB NOT NULL) STRICT, WITHOUT ROWID;

    -- How often our own log was begun anew, which is in its name.
    CREATE TABLE log_generation (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        generation INTEGER NOT NULL
    ) STRICT;
    INSERT INTO log_generation VALUES (1, 1);

    -- Our own heads that others were shown last, with the cosignatures that came back.
    CREATE TABLE shown_heads (size INTEGER PRIMARY KEY, note BLOB NOT NULL) STRICT;
    """,
    """
    -- What decisions stand on and the log has already.
    CREATE TABLE logged_parts (sha256 BLOB PRIMARY KEY) STRICT, WITHOUT ROWID;

    -- How many entries of the log, from the first, are kept elsewhere only.
    CREATE TABLE log_pruned (only INTEGER PRIMARY KEY CHECK (only = 1), entries INTEGER NOT NULL) STRICT;
    INSERT INTO log_pruned VALUES (1, 0);

    -- In a copy: what waits until somebody who knows more has spoken, and when the copy was made.
    CREATE TABLE copied (waits TEXT PRIMARY KEY, made_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    """,
    """
    -- Heads of the log that were written to a chain: payload is the transaction's data, account whose key signed it.
    CREATE TABLE anchors (
        id BLOB PRIMARY KEY,
        chain TEXT NOT NULL,
        size INTEGER NOT NULL,
        account TEXT NOT NULL,
        payload BLOB NOT NULL,
        created_ms INTEGER NOT NULL,
        state TEXT NOT NULL,
        UNIQUE (chain, size)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE anchor_events (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        anchor BLOB NOT NULL,
        at_ms INTEGER NOT NULL,
        event TEXT NOT NULL,
        detail BLOB NOT NULL
    ) STRICT;
    CREATE INDEX anchor_events_by_anchor ON anchor_events (anchor, id);
    -- What keeps the log from being anchored, until an anchor holds.
    CREATE TABLE anchor_trouble (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        cause TEXT NOT NULL,
        sentence TEXT NOT NULL,
        at_ms INTEGER NOT NULL
    ) STRICT;
    """,
    """
    -- The risk reports that we signed, by oracle contract and subject (CAIP-10): the last few hours of them.
    -- since_ms: since when the subject stands as it does.
    CREATE TABLE risk_reports (
        oracle TEXT NOT NULL,
        subject TEXT NOT NULL,
        epoch INTEGER NOT NULL,
        encoded BLOB NOT NULL,
        since_ms INTEGER NOT NULL,
        PRIMARY KEY (oracle, subject, epoch)
    ) STRICT, WITHOUT ROWID;
    """,
)

SCHEMA_VERSION = len(MIGRATIONS)
