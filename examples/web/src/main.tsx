import './styles/base.css';
import './styles/account.css';
import './styles/dialog.css';
import './styles/rooms.css';
import './styles/room.css';
import './styles/message.css';
import './styles/files.css';
import { createRoot } from 'react-dom/client';
import { App } from './App.tsx';

const page = document.getElementById('page');
if (page) createRoot(page).render(<App />);
