-- Tokens of earlier releases send system messages and do nothing else.
ALTER TABLE service_tokens ADD COLUMN scopes text[] COLLATE "C" NOT NULL DEFAULT '{notices:write}';

-- Ids of users and rooms in the application that uses Parley as its backend. Services find users and rooms by them.
ALTER TABLE users ADD COLUMN external_id text COLLATE "C" UNIQUE;
ALTER TABLE chatrooms ADD COLUMN external_id text COLLATE "C" UNIQUE;
