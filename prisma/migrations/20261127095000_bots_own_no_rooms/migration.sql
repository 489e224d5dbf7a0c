-- A bot has no role in a chatroom, also not from the beginning: a service could name a bot as the owner of a new room.
CREATE TRIGGER refuse_role_of_new_bot BEFORE INSERT ON members
  FOR EACH ROW WHEN (NEW.role <> 'MEMBER') EXECUTE FUNCTION refuse_bot_role();
