import { useEffect, useState } from 'react';
import { useChat } from './provider.ts';

/**
 * Interval at which the URL is asked for again, in milliseconds. The client replaces its ticket five minutes before the ticket
 * expires. Until then, the URL stays the same.
 */
const RENEWAL_MS = 4 * 60_000;

/**
 * Returns the URL of a file, for example for `<img src>`. Pass `Attachment.url` or `Image.url`. Undefined for null, and
 * until the URL is known. The URL of a mounted component changes about once an hour, because its ticket expires: a link or
 * a picture that is loaded later needs the new one.
 */
export function useFileUrl(path: string | null | undefined): string | undefined {
  const { client } = useChat();
  const [found, setFound] = useState<{ path: string; url: string }>();
  useEffect(() => {
    if (path == null) return undefined;
    let isCurrent = true;
    const renew = () => {
      client.fileUrl(path).then(
        (url) => {
          if (isCurrent) setFound((last) => (last?.path === path && last.url === url ? last : { path, url }));
        },
        // The state of the connection shows that the viewer is signed out.
        () => undefined,
      );
    };
    renew();
    const timer = setInterval(renew, RENEWAL_MS);
    return () => {
      isCurrent = false;
      clearInterval(timer);
    };
  }, [client, path]);
  return found?.path === path ? found?.url : undefined;
}
