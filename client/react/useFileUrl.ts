import { useEffect, useState } from 'react';
import { useChat } from './provider.ts';

/**
 * Returns the URL of a file, for example for `<img src>`. Pass `Attachment.url` or `Image.url`. Undefined for null, and
 * until the URL is known. A mounted component keeps its URL, so that an image is loaded once.
 */
export function useFileUrl(path: string | null | undefined): string | undefined {
  const { client } = useChat();
  const [found, setFound] = useState<{ path: string; url: string }>();
  useEffect(() => {
    if (path == null) return undefined;
    let isCurrent = true;
    client.fileUrl(path).then(
      (url) => {
        if (isCurrent) setFound({ path, url });
      },
      // The state of the connection shows that the viewer is signed out.
      () => undefined,
    );
    return () => {
      isCurrent = false;
    };
  }, [client, path]);
  return found?.path === path ? found?.url : undefined;
}
