-- Outgoing webhooks. The logs of the rooms are their queue: sending a message writes nothing here.
CREATE TYPE "WebhookState" AS ENUM ('ACTIVE', 'FAILED');

CREATE TABLE webhooks (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  -- Name of the service that created the webhook. No foreign key, because a token that is replaced keeps its webhooks.
  service text COLLATE "C" NOT NULL,
  name text NOT NULL,
  url text NOT NULL,
  -- Kinds of events. Not of the type "EventKind", because `events.detail` has further kinds.
  events text[] COLLATE "C" NOT NULL,
  -- Null for all rooms. A webhook of one room is deleted with its room.
  chatroom_id uuid REFERENCES chatrooms ON DELETE CASCADE,
  document text,
  secret text NOT NULL,
  previous_secret text,
  previous_secret_until timestamptz(3),
  state "WebhookState" NOT NULL DEFAULT 'ACTIVE',
  -- Reason of the state FAILED.
  error text,
  failed_at timestamptz(3),
  -- Every event that this snapshot sees is delivered, or follows the cursor of its room.
  scanned pg_snapshot NOT NULL,
  scanned_at timestamptz(3) NOT NULL DEFAULT now(),
  -- Database that `scanned` belongs to. Transaction ids of another database have no meaning.
  database_id text COLLATE "C" NOT NULL,
  last_success_at timestamptz(3),
  -- Worker that delivers the webhook, until another one may take over.
  lease_id uuid,
  lease_until timestamptz(3),
  created_at timestamptz(3) NOT NULL DEFAULT now(),
  UNIQUE (service, name)
);
CREATE INDEX ON webhooks (chatroom_id) WHERE chatroom_id IS NOT NULL;

-- Position of a webhook in the log of a room. A room without a row has no events that `webhooks.scanned` does not see.
CREATE TABLE webhook_cursors (
  webhook_id uuid NOT NULL REFERENCES webhooks ON DELETE CASCADE,
  chatroom_id uuid NOT NULL REFERENCES chatrooms ON DELETE CASCADE,
  -- Last event that the receiver has acknowledged, or that the webhook leaves out.
  seq integer NOT NULL,
  -- Failed attempts of the event after `seq`. The other columns are null if it is 0.
  attempts integer NOT NULL DEFAULT 0,
  next_attempt_at timestamptz(3),
  failing_since timestamptz(3),
  last_error text,
  -- Whether the webhook has given up on the room.
  failed boolean NOT NULL DEFAULT false,
  PRIMARY KEY (webhook_id, chatroom_id)
);
CREATE INDEX ON webhook_cursors (chatroom_id);
CREATE INDEX ON webhook_cursors (webhook_id) WHERE attempts > 0 OR failed;
